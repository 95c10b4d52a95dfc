-- Counts the sessions of *day* (UTC) into media.title_days and answers how many titles it touched. Doing
-- a day again gives the same rows, so a scheduler that is not sure may simply call it.
CREATE OR REPLACE FUNCTION media.roll_up_views(day date) RETURNS bigint
    LANGUAGE sql
BEGIN ATOMIC
    WITH counted AS (
        INSERT INTO media.title_days AS stored (title_id, day, sessions, profiles, completed, watched_seconds)
        SELECT
            title_id,
            roll_up_views.day,
            count(*),
            count(DISTINCT profile_id),
            count(*) FILTER (WHERE completed),
            sum(watched_seconds)
        FROM media.viewing_sessions
        WHERE started_at >= roll_up_views.day::timestamp AT TIME ZONE 'UTC'
          AND started_at < (roll_up_views.day + 1)::timestamp AT TIME ZONE 'UTC'
        GROUP BY title_id
        ON CONFLICT (title_id, day) DO UPDATE SET
            sessions = excluded.sessions,
            profiles = excluded.profiles,
            completed = excluded.completed,
            watched_seconds = excluded.watched_seconds
        RETURNING 1
    )
    SELECT count(*) FROM counted;
END;

COMMENT ON FUNCTION media.roll_up_views(date) IS 'Counts a day''s sessions into title_days; safe to repeat.';

CREATE OR REPLACE VIEW media.title_statistics AS
SELECT
    title.public_id,
    title.name,
    sum(title_days.sessions) AS sessions,
    sum(title_days.completed)::numeric / sum(title_days.sessions) AS completion_rate,
    sum(title_days.watched_seconds) / 3600.0 AS watched_hours,
    max(title_days.day) AS last_watched_on
FROM media.titles AS title
JOIN media.title_days ON title_days.title_id = title.id
GROUP BY title.id;

COMMENT ON VIEW media.title_statistics IS 'How often, how far and how long each title was watched.';
