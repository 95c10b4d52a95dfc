-- DOWN   migration
DROP TABLE b;
--- up migration: b
CREATE TABLE b (id int);
