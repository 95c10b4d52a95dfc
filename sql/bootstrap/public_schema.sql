-- Bootstrap scripts do what pgready.toml has no word for. They run before the migrations, and again
-- whenever they change, so each must be harmless to repeat.

-- Before PostgreSQL 15, every role may create objects in "public", and so plant a function under a name
-- that somebody else's query looks up. From 15 on this changes nothing.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
