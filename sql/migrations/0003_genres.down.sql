DROP TABLE media.title_genres;
DROP TABLE media.genres;
