select 2;
---- create above / drop below ----
select 3;
