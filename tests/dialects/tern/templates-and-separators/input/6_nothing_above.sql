-- nothing

---- create above / drop below ----
drop table v;
