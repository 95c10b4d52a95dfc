CREATE TABLE notes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body       text NOT NULL CHECK (body <> ''),
    written_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO notes (body) VALUES ('The schema was ready before the app was.');
