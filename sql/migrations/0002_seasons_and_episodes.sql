CREATE TABLE media.seasons (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title_id   bigint NOT NULL,
    -- Always 'series': together with the foreign key below, a film cannot have seasons.
    title_kind media.title_kind NOT NULL DEFAULT 'series',
    number     smallint NOT NULL,
    name       text,

    CONSTRAINT seasons_belong_to_a_series CHECK (title_kind = 'series'),
    -- Season 0 holds the specials.
    CONSTRAINT seasons_number_is_not_negative CHECK (number >= 0),
    CONSTRAINT seasons_title_id_number_key UNIQUE (title_id, number),
    CONSTRAINT seasons_title_fkey FOREIGN KEY (title_id, title_kind)
        REFERENCES media.titles (id, kind) ON DELETE CASCADE
);

CREATE TABLE media.episodes (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    season_id       bigint NOT NULL REFERENCES media.seasons ON DELETE CASCADE,
    number          smallint NOT NULL,
    name            text NOT NULL,
    runtime_minutes integer NOT NULL,
    aired_on        date,

    CONSTRAINT episodes_number_is_positive CHECK (number > 0),
    CONSTRAINT episodes_runtime_is_positive CHECK (runtime_minutes > 0),
    -- Its index also serves the foreign key: season_id comes first.
    CONSTRAINT episodes_season_id_number_key UNIQUE (season_id, number)
);

COMMENT ON TABLE media.seasons IS 'The seasons of a series, numbered as broadcast; 0 is for specials.';
COMMENT ON TABLE media.episodes IS 'The episodes of a season.';
