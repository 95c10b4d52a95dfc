DROP INDEX CONCURRENTLY media.titles_name_trigram_idx;
DROP INDEX CONCURRENTLY media.titles_search_idx;
