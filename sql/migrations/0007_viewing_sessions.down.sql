DROP FUNCTION media.add_viewing_month(date);
DROP TABLE media.viewing_sessions;
