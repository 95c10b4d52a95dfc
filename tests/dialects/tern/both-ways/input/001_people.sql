create table people (id int primary key);

---- create above / drop below ----

drop table people;
