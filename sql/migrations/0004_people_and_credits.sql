CREATE TYPE media.credit_role AS ENUM ('director', 'writer', 'producer', 'cast');

CREATE TABLE media.people (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL DEFAULT gen_random_uuid(),
    name      text NOT NULL,
    born_on   date,
    died_on   date,

    CONSTRAINT people_public_id_key UNIQUE (public_id),
    CONSTRAINT people_name_is_not_blank CHECK (btrim(name) <> ''),
    -- True as well where either date is unknown: a CHECK refuses only what is false.
    CONSTRAINT people_died_after_birth CHECK (died_on >= born_on)
);

CREATE TABLE media.credits (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title_id  bigint NOT NULL REFERENCES media.titles ON DELETE CASCADE,
    person_id bigint NOT NULL REFERENCES media.people ON DELETE RESTRICT,
    role      media.credit_role NOT NULL,
    character text NOT NULL DEFAULT '',
    position  smallint NOT NULL DEFAULT 0,

    CONSTRAINT credits_only_cast_play_a_character CHECK (role = 'cast' OR character = ''),
    -- character is '' and not NULL so that this holds for the crew too: two NULLs are never equal.
    CONSTRAINT credits_title_person_role_character_key UNIQUE (title_id, person_id, role, character)
);

CREATE INDEX credits_person_id_idx ON media.credits (person_id);

COMMENT ON TABLE media.people IS 'Everyone who is credited for something.';
COMMENT ON TABLE media.credits IS 'Who did what for which title; position orders them as the credits roll.';
