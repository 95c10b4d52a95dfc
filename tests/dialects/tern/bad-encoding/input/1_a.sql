select 'café';
---- create above / drop below ----
