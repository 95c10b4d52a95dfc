create table x (i int);
-------- create above / drop below --------
drop table x;
