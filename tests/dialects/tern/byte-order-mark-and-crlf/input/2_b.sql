select 1;
---- tern: disable-tx ----
select 2;
