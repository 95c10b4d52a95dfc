create table v (i int);
---- create above / drop below ----
drop table v;
---- create above / drop below ----
create table w (i int);
