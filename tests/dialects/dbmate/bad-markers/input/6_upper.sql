-- MIGRATE:UP

-- migrate:down
