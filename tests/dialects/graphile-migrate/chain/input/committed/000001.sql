--! Previous: -
--! Hash: sha1:4f45642ec931df92e13364b7a3d95eb876d756b7

CREATE TABLE a (id int);
