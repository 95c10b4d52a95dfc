create table t (i int);
---- create above / drop below ----
drop table t;
