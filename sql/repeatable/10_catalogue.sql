-- Repeatable scripts run after the migrations, in the order of their names, and again whenever they
-- change: a view is edited here, in its place, and history shows what the edit was.

-- What the front page shows. CREATE OR REPLACE can add columns at the end; to take one away, a migration
-- drops the view first.
CREATE OR REPLACE VIEW media.catalogue AS
SELECT
    title.public_id,
    title.kind,
    title.name,
    title.released_on,
    coalesce(episode.total_minutes, title.runtime_minutes) AS runtime_minutes,
    coalesce(episode.count, 0) AS episodes,
    coalesce(genre.names, '{}') AS genres
FROM media.titles AS title
LEFT JOIN LATERAL (
    SELECT count(*) AS count, sum(episodes.runtime_minutes) AS total_minutes
    FROM media.seasons
    JOIN media.episodes ON episodes.season_id = seasons.id
    WHERE seasons.title_id = title.id
) AS episode ON true
LEFT JOIN LATERAL (
    SELECT array_agg(genres.name ORDER BY genres.name) AS names
    FROM media.title_genres
    JOIN media.genres ON genres.id = title_genres.genre_id
    WHERE title_genres.title_id = title.id
) AS genre ON true;

COMMENT ON VIEW media.catalogue IS 'Titles as the front page shows them.';
