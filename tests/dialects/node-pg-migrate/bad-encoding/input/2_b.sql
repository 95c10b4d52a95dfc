-- Up Migration
SELECT 'ÿ';
