-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY i ON users (id);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY i;
