-- +goose ENVSUB ON
-- +goose Up
SELECT '${PGREADY_TEST_NOT_SET?who}', '$1', '${HALF';
