DROP TABLE media.episodes;
DROP TABLE media.seasons;
