-- Without an index that begins with one of its columns, a DELETE of a referenced row reads the whole table.
SELECT key.conrelid::regclass AS "table", key.conname AS foreign_key
FROM pg_catalog.pg_constraint AS key
WHERE key.contype = 'f'
  AND key.connamespace = 'media'::regnamespace
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_index
      WHERE indrelid = key.conrelid AND indkey[0] = ANY (key.conkey)  -- indkey counts from 0
  );
