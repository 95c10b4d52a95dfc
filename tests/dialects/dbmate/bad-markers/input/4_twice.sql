-- migrate:up

-- migrate:down
-- migrate:up

-- migrate:down
