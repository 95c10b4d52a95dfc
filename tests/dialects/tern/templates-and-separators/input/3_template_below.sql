create table t (i int);
---- create above / drop below ----
{{ template "x.sql" }}
