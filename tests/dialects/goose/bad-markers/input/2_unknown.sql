-- +goose Up
-- +goose Statementbegin please
SELECT 1;
