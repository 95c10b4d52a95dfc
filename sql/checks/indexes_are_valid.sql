-- A concurrent build that failed leaves its index behind: kept up to date by every write, used by no query.
SELECT indexrelid::regclass AS index, indrelid::regclass AS "table"
FROM pg_catalog.pg_index
JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = 'media'::regnamespace
  AND NOT indisvalid
  -- One that is being built at this moment is not valid yet, and that is fine.
  AND indexrelid NOT IN (SELECT index_relid FROM pg_catalog.pg_stat_progress_create_index);
