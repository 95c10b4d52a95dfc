-- Up Migration
CREATE TABLE c (id int);

-- Down Migration
DROP TABLE c;
