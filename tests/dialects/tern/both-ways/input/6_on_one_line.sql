create table u (i int); ---- create above / drop below ---- drop table u;
