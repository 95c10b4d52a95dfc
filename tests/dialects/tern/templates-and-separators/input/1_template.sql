create table {{.prefix}}config (id int);
---- create above / drop below ----
drop table {{.prefix}}config;
