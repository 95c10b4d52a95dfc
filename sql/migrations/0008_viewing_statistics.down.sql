DROP TABLE media.title_days;
