-- The catalogue's centre: everything that can be watched is a title.

CREATE TYPE media.title_kind AS ENUM ('film', 'series');

-- A domain says once what a language tag looks like; every column that holds one uses it.
CREATE DOMAIN media.language_tag AS text
    CONSTRAINT language_tag_is_bcp47 CHECK (VALUE ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$');

CREATE TABLE media.titles (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id         uuid NOT NULL DEFAULT gen_random_uuid(),
    kind              media.title_kind NOT NULL,
    name              text NOT NULL,
    synopsis          text NOT NULL DEFAULT '',
    original_language media.language_tag NOT NULL,
    released_on       date,
    runtime_minutes   integer,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),

    -- STORED, and so here from the start: added to a full table it would rewrite every row.
    search            tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', name), 'A') || setweight(to_tsvector('simple', synopsis), 'D')
    ) STORED,

    CONSTRAINT titles_public_id_key UNIQUE (public_id),
    -- Redundant beside the primary key, but it lets other tables refer to "a title that is a series".
    CONSTRAINT titles_id_kind_key UNIQUE (id, kind),
    CONSTRAINT titles_name_is_not_blank CHECK (btrim(name) <> ''),
    CONSTRAINT titles_runtime_is_positive CHECK (runtime_minutes > 0),
    -- A series has no running time of its own; its episodes do.
    CONSTRAINT titles_only_films_have_a_runtime CHECK (kind = 'film' OR runtime_minutes IS NULL)
);

COMMENT ON TABLE media.titles IS 'Films and series; id stays inside, public_id is for URLs and APIs.';
COMMENT ON COLUMN media.titles.search IS 'What the search box looks through: the name counts more than the synopsis.';
