"""The catalogue queries of `inspect` about the database and what is in it beside relations.

All but SERVER take as $1 a schema or null, as $2 whether hidden schemas count, as $3 the schemas of the
server and our own; the last three also words ($4) and how many to list ($5). What an extension made is the
extension's, and is not listed.
"""

from __future__ import annotations

SERVER = """
SELECT pg_catalog.current_database()::text AS database,
       pg_catalog.current_setting('server_version') AS server_version,
       pg_catalog.clock_timestamp() AS taken_at,
       CASE WHEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CONNECT')
            THEN pg_catalog.pg_database_size(pg_catalog.current_database()) END AS size_bytes
"""

SCHEMAS = """
WITH shown AS (
  SELECT n.oid, n.nspname, n.nspowner FROM pg_catalog.pg_namespace n
  WHERE ($1::text IS NULL OR n.nspname = $1)
    AND ($2::bool OR NOT (n.nspname ^@ 'pg_' OR n.nspname = ANY ($3::text[])))
),
related AS (
  SELECT c.relnamespace AS oid,
    pg_catalog.count(*) FILTER (WHERE c.relkind IN ('r', 'p', 'f')) AS tables,
    pg_catalog.count(*) FILTER (WHERE c.relkind IN ('v', 'm')) AS views,
    pg_catalog.count(*) FILTER (WHERE c.relkind = 'S') AS sequences
  FROM pg_catalog.pg_class c WHERE NOT c.relispartition GROUP BY c.relnamespace
),
called AS (
  SELECT p.pronamespace AS oid, pg_catalog.count(*) AS functions FROM pg_catalog.pg_proc p
  WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend m WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND m.objid = p.oid AND m.deptype = 'e')
  GROUP BY p.pronamespace
),
typed AS (
  SELECT t.typnamespace AS oid, pg_catalog.count(*) AS types FROM pg_catalog.pg_type t
  WHERE (t.typtype IN ('e', 'd', 'r')
         OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
    AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend m WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
        AND m.objid = t.oid AND m.deptype = 'e')
  GROUP BY t.typnamespace
)
SELECT s.nspname::text AS name, pg_catalog.pg_get_userbyid(s.nspowner)::text AS owner,
  pg_catalog.obj_description(s.oid, 'pg_namespace') AS comment,
  coalesce(related.tables, 0) AS tables, coalesce(related.views, 0) AS views,
  coalesce(related.sequences, 0) AS sequences, coalesce(called.functions, 0) AS functions,
  coalesce(typed.types, 0) AS types
FROM shown s LEFT JOIN related USING (oid) LEFT JOIN called USING (oid) LEFT JOIN typed USING (oid)
-- Sessions' own schemas come and go; those with nothing in them are no news.
WHERE NOT (s.nspname ^@ 'pg_' AND related.oid IS NULL AND called.oid IS NULL AND typed.oid IS NULL)
ORDER BY s.nspname
"""

EXTENSIONS = """
SELECT e.extname::text AS name, e.extversion AS version, n.nspname::text AS schema,
  pg_catalog.obj_description(e.oid, 'pg_extension') AS comment
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE ($1::text IS NULL OR n.nspname = $1) AND ($2::bool OR e.extname <> 'plpgsql')
ORDER BY e.extname
"""

TYPES = """
SELECT n.nspname::text AS schema, t.typname::text AS name,
  CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'composite' END
    AS kind,
  ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
        WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels,
  CASE t.typtype
    WHEN 'd' THEN pg_catalog.concat_ws(' ', pg_catalog.format_type(t.typbasetype, t.typtypmod),
      CASE WHEN t.typnotnull THEN 'NOT NULL' END, 'DEFAULT ' || t.typdefault,
      (SELECT pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
       FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
    WHEN 'r' THEN (SELECT pg_catalog.format_type(r.rngsubtype, NULL)
                   FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
    WHEN 'c' THEN (SELECT pg_catalog.string_agg(
        pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', '
        ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
  END AS definition,
  pg_catalog.obj_description(t.oid, 'pg_type') AS comment, pg_catalog.count(*) OVER () AS total
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE ($1::text IS NULL OR n.nspname = $1)
  AND ($2::bool OR NOT (n.nspname ^@ 'pg_' OR n.nspname = ANY ($3::text[])))
  AND (t.typtype IN ('e', 'd', 'r')
       OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend m WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
      AND m.objid = t.oid AND m.deptype = 'e')
  AND NOT EXISTS (
    SELECT FROM pg_catalog.unnest($4::text[]) AS word
    WHERE pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || t.typname), pg_catalog.lower(word)) = 0
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid
        AND pg_catalog.strpos(pg_catalog.lower(e.enumlabel::text), pg_catalog.lower(word)) > 0))
ORDER BY n.nspname, t.typname
LIMIT $5
"""

SEQUENCES = """
SELECT n.nspname::text AS schema, c.relname::text AS name,
  pg_catalog.format_type(s.seqtypid, NULL) AS type, s.seqincrement AS increment, s.seqmin AS minimum,
  s.seqmax AS maximum, s.seqcycle AS cycles,
  (SELECT tn.nspname || '.' || t.relname || '.' || a.attname
   FROM pg_catalog.pg_depend m
   JOIN pg_catalog.pg_class t ON t.oid = m.refobjid
   JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
   JOIN pg_catalog.pg_attribute a ON a.attrelid = m.refobjid AND a.attnum = m.refobjsubid
   WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.objid = c.oid AND m.refobjsubid > 0
     AND m.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.deptype IN ('a', 'i')
   LIMIT 1) AS owned_by,
  pg_catalog.count(*) OVER () AS total
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE ($1::text IS NULL OR n.nspname = $1)
  AND ($2::bool OR NOT (n.nspname ^@ 'pg_' OR n.nspname = ANY ($3::text[])))
  AND NOT EXISTS (
    SELECT FROM pg_catalog.unnest($4::text[]) AS word
    WHERE pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || c.relname), pg_catalog.lower(word)) = 0)
ORDER BY n.nspname, c.relname
LIMIT $5
"""

FUNCTIONS = """
SELECT n.nspname::text AS schema, p.proname::text AS name,
  CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window'
    ELSE 'function' END AS kind,
  pg_catalog.pg_get_function_arguments(p.oid) AS arguments,
  pg_catalog.pg_get_function_result(p.oid) AS returns, l.lanname::text AS language,
  pg_catalog.obj_description(p.oid, 'pg_proc') AS comment, pg_catalog.count(*) OVER () AS total
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE ($1::text IS NULL OR n.nspname = $1)
  AND ($2::bool OR NOT (n.nspname ^@ 'pg_' OR n.nspname = ANY ($3::text[])))
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend m WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND m.objid = p.oid AND m.deptype = 'e')
  AND NOT EXISTS (
    SELECT FROM pg_catalog.unnest($4::text[]) AS word
    WHERE pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || p.proname), pg_catalog.lower(word)) = 0)
ORDER BY n.nspname, p.proname, p.oid
LIMIT $5
"""
