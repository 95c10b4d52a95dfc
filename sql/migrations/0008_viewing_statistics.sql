-- Filled by media.roll_up_views (sql/repeatable/): the pages that rank titles read a few rows here
-- instead of counting millions of sessions.
CREATE TABLE media.title_days (
    title_id        bigint NOT NULL REFERENCES media.titles ON DELETE CASCADE,
    day             date NOT NULL,
    sessions        integer NOT NULL,
    profiles        integer NOT NULL,
    completed       integer NOT NULL,
    watched_seconds bigint NOT NULL,

    CONSTRAINT title_days_counts_agree CHECK (
        0 < profiles AND profiles <= sessions AND completed BETWEEN 0 AND sessions AND watched_seconds >= 0
    ),
    PRIMARY KEY (title_id, day)
);

-- "The most watched this week", without visiting the table.
CREATE INDEX title_days_day_idx ON media.title_days (day) INCLUDE (title_id, sessions, watched_seconds);

COMMENT ON TABLE media.title_days IS 'Viewing by title and day (UTC). Derived: it can be built again from viewing_sessions.';
