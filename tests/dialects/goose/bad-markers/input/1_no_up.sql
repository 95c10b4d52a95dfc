-- +goose Down
DROP TABLE a;
