-- why
---- tern: disable-tx ----
vacuum people;
---- create above / drop below ----
select 1;
