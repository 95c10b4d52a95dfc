 -- migrate:up

-- migrate:down
