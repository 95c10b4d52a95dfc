ALTER TABLE media.profiles DROP COLUMN favourite_genre_id;
