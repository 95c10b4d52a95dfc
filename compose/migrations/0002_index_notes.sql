-- Cannot run in a transaction; pgready runs it alone and picks it up again should it be interrupted.
CREATE INDEX CONCURRENTLY notes_body_trigram_idx ON notes USING gin (body gin_trgm_ops);
