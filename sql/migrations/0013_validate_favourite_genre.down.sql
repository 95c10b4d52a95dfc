-- A constraint cannot become NOT VALID again, and need not: what was checked stays true.
DROP INDEX CONCURRENTLY media.profiles_favourite_genre_id_idx;
