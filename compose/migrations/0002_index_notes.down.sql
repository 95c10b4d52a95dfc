DROP INDEX CONCURRENTLY notes_body_trigram_idx;
