-- migrate:up transactions:false

-- migrate:down
