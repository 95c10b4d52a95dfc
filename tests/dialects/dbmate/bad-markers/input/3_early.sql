SELECT 0;
-- migrate:up

-- migrate:down
