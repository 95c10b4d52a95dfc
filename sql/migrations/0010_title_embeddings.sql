-- Beside titles and not in it: a vector is wide, is written by another process, and comes once per model.
CREATE TABLE media.title_embeddings (
    title_id    bigint NOT NULL REFERENCES media.titles ON DELETE CASCADE,
    model       text NOT NULL,
    -- Vectors of different models do not compare; the number of dimensions is the model's.
    embedding   vector(384) NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (title_id, model)
);

COMMENT ON TABLE media.title_embeddings IS 'What a model makes of name and synopsis; titles whose vectors are near are alike.';
