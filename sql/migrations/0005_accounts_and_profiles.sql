CREATE TABLE media.accounts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id  uuid NOT NULL DEFAULT gen_random_uuid(),
    email      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT accounts_public_id_key UNIQUE (public_id),
    CONSTRAINT accounts_email_has_two_parts CHECK (email LIKE '_%@_%')
);

-- One account for an address however it is typed. An expression needs an index; a constraint takes columns only.
CREATE UNIQUE INDEX accounts_email_key ON media.accounts (lower(email));

CREATE TABLE media.profiles (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES media.accounts ON DELETE CASCADE,
    name       text NOT NULL,
    language   media.language_tag NOT NULL DEFAULT 'en',
    is_child   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT profiles_name_is_not_blank CHECK (btrim(name) <> ''),
    CONSTRAINT profiles_account_id_name_key UNIQUE (account_id, name)
);

COMMENT ON TABLE media.accounts IS 'Who pays. Holds no password: signing in is another service''s business.';
COMMENT ON TABLE media.profiles IS 'Who watches: one account, several people before the screen.';
