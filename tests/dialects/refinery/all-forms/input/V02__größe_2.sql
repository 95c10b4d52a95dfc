CREATE TABLE sizes (id int);
