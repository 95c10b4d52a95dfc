-- CONCURRENTLY: the catalogue stays writable while they are built. Such a statement cannot run in a
-- transaction; pgready sees that by itself, runs each alone and journals it. Killed in between, the next
-- start goes on where this one stopped, and builds an index that was left invalid again.

CREATE INDEX CONCURRENTLY titles_search_idx ON media.titles USING gin (search);

-- For misspelt names: WHERE 'solarsi' <% name
CREATE INDEX CONCURRENTLY titles_name_trigram_idx ON media.titles USING gin (name gin_trgm_ops);
