-- A check returns no row where all is well; pgready is ready once each of them has passed.
-- A constraint that is still NOT VALID says nothing about the old rows: somebody forgot the second step.
SELECT conrelid::regclass AS "table", conname AS "constraint"
FROM pg_catalog.pg_constraint
WHERE connamespace = 'media'::regnamespace AND NOT convalidated;
