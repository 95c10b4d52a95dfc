-- A table and not an enum: editors add genres, and may rename or retire them, without a migration.
CREATE TABLE media.genres (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,

    CONSTRAINT genres_slug_key UNIQUE (slug),
    CONSTRAINT genres_slug_fits_a_url CHECK (slug ~ '^[a-z][a-z0-9-]*$')
);

CREATE TABLE media.title_genres (
    title_id bigint NOT NULL REFERENCES media.titles ON DELETE CASCADE,
    genre_id integer NOT NULL REFERENCES media.genres ON DELETE RESTRICT,

    PRIMARY KEY (title_id, genre_id)
);

-- The primary key serves "genres of a title"; this serves "titles of a genre" and the foreign key.
-- Not CONCURRENTLY: the table is empty, and this way table and index arrive in one transaction.
CREATE INDEX title_genres_genre_id_idx ON media.title_genres (genre_id);

-- Reference data that the code relies on belongs to the schema, in the transaction that makes room for it.
INSERT INTO media.genres (slug, name) VALUES
    ('animation',       'Animation'),
    ('comedy',          'Comedy'),
    ('crime',           'Crime'),
    ('documentary',     'Documentary'),
    ('drama',           'Drama'),
    ('family',          'Family'),
    ('horror',          'Horror'),
    ('science-fiction', 'Science fiction'),
    ('thriller',        'Thriller');

COMMENT ON TABLE media.genres IS 'What editors file titles under.';
