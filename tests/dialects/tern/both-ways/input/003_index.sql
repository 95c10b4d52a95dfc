---- tern: disable-tx ----
create index concurrently people_name on people (id);
---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently people_name;
