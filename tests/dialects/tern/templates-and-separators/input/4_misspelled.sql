create table u (i int);
-- Create above / drop below
drop table u;
