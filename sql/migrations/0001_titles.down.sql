DROP TABLE media.titles;
DROP DOMAIN media.language_tag;
DROP TYPE media.title_kind;
