"""The catalogue queries of `inspect` about relations; psql runs each once its `$n` are filled in.

They use what PostgreSQL 14 has, and every column is named as the field that it becomes. A query that reads
for a list of relations takes their oids as `$1`, and as `$2` the oids of those that somebody has locked:
what the server tells only under a lock of its own (sizes, and whatever names a column in an expression) is
left out there.
"""

from __future__ import annotations

# Whoever waits for such a lock counts as well: we would have to queue behind them.
LOCKED = """
SELECT coalesce(pg_catalog.array_agg(DISTINCT coalesce(i.indrelid, l.relation)), '{}')
       || coalesce(pg_catalog.array_agg(DISTINCT l.relation), '{}') AS locked
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = l.relation
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""

# $1 a name or null, $2 words, $3 a schema or null, $4 whether hidden schemas count, $5 the order,
# $6 how many to skip, $7 how many to take, $8 what is locked, $9 the schemas of the server and our own.
PICK = """
WITH RECURSIVE candidate AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND ($3::text IS NULL OR n.nspname = $3)
    AND CASE WHEN $1::text IS NULL THEN NOT c.relispartition
             ELSE $1 = n.nspname || '.' || c.relname OR $1 = c.relname END
    AND ($4::bool OR $1 = n.nspname || '.' || c.relname
         OR NOT (n.nspname ^@ 'pg_' OR n.nspname = ANY ($9::text[])))
    AND NOT EXISTS (
      SELECT FROM pg_catalog.unnest($2::text[]) AS word
      WHERE pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || c.relname), pg_catalog.lower(word)) = 0
        AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND pg_catalog.strpos(pg_catalog.lower(a.attname::text), pg_catalog.lower(word)) > 0))
),
part AS (
  SELECT oid AS root, oid, relkind FROM candidate WHERE $5 <> 'name'
  UNION ALL
  SELECT part.root, c.oid, c.relkind
  FROM part
  JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid AND part.relkind = 'p'
  JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
),
measured AS (
  SELECT part.root, pg_catalog.sum(CASE
    WHEN $5 = 'size' AND part.oid <> ALL ($8::oid[]) THEN pg_catalog.pg_total_relation_size(part.oid)
    WHEN $5 = 'rows' THEN coalesce(nullif(pg_catalog.pg_stat_get_live_tuples(part.oid), 0),
      (SELECT greatest(reltuples, 0) FROM pg_catalog.pg_class WHERE oid = part.oid)) END) AS amount
  FROM part GROUP BY part.root
)
SELECT pg_catalog.count(*) AS matching,
       coalesce((pg_catalog.array_agg(oid ORDER BY amount DESC NULLS LAST, nspname, relname))
                [$6::int + 1 : $6::int + $7::int], '{}') AS oids
FROM candidate LEFT JOIN measured ON measured.root = candidate.oid
"""

# $1 the schemas of the server and our own.
NAMES = """
SELECT n.nspname || '.' || c.relname AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT (n.nspname ^@ 'pg_' OR n.nspname = ANY ($1::text[]))
ORDER BY 1 LIMIT 10000
"""

RELATIONS = """
WITH RECURSIVE part AS (
  SELECT c.oid AS root, c.oid, c.relkind, c.reltuples, c.relpages
  FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])
  UNION ALL
  SELECT part.root, c.oid, c.relkind, c.reltuples, c.relpages
  FROM part
  JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid AND part.relkind = 'p'
  JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
),
measured AS MATERIALIZED (
  SELECT part.*, part.oid = ANY ($2::oid[]) AS locked,
    CASE WHEN part.relkind IN ('r', 'm') AND part.oid <> ALL ($2::oid[])
         THEN pg_catalog.pg_table_size(part.oid) END AS table_bytes,
    CASE WHEN part.relkind IN ('r', 'm') AND part.oid <> ALL ($2::oid[])
         THEN pg_catalog.pg_relation_size(part.oid) END AS heap_bytes,
    CASE WHEN part.relkind IN ('r', 'm') AND part.oid <> ALL ($2::oid[])
         THEN pg_catalog.pg_indexes_size(part.oid) END AS index_bytes
  FROM part
),
summed AS (
  SELECT root, pg_catalog.count(*)::int - 1 AS partition_count, pg_catalog.bool_or(locked) AS locked,
    pg_catalog.sum(table_bytes)::bigint AS table_bytes, pg_catalog.sum(index_bytes)::bigint AS index_bytes,
    -- As the planner does: the density that ANALYZE saw, on as many pages as there are now. Where it never
    -- ran, the statistics' count, which a standby and a server that crashed lack.
    pg_catalog.sum(CASE WHEN relkind IN ('r', 'm') THEN CASE
      WHEN reltuples >= 0 AND relpages > 0 THEN reltuples::float8 * coalesce(
        heap_bytes::float8 / relpages / pg_catalog.current_setting('block_size')::float8, 1)
      WHEN pg_catalog.pg_stat_get_live_tuples(oid) > 0 THEN pg_catalog.pg_stat_get_live_tuples(oid)::float8
      WHEN heap_bytes = 0 THEN 0 END END)::bigint AS rows
  FROM measured GROUP BY root
)
SELECT c.oid AS relation, n.nspname::text AS schema, c.relname::text AS name,
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
    WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END AS kind,
  pg_catalog.pg_get_userbyid(c.relowner)::text AS owner,
  CASE c.relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' ELSE 'permanent' END
    AS persistence,
  d.description AS comment, s.rows, s.table_bytes + s.index_bytes AS size_bytes, s.table_bytes,
  s.index_bytes,
  CASE WHEN c.relforcerowsecurity AND c.relrowsecurity THEN 'forced'
    WHEN c.relrowsecurity THEN 'enabled' END AS row_security,
  (SELECT e.extname::text FROM pg_catalog.pg_depend m JOIN pg_catalog.pg_extension e ON e.oid = m.refobjid
   WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.objid = c.oid AND m.objsubid = 0
     AND m.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND m.deptype = 'e') AS extension,
  s.locked,
  CASE WHEN c.relkind = 'p' AND c.oid <> ALL ($2::oid[])
    THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key,
  CASE WHEN c.relispartition THEN parents.names[1] END AS partition_of,
  CASE WHEN c.relispartition AND c.oid <> ALL ($2::oid[])
    THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END AS partition_bound,
  s.partition_count,
  CASE WHEN c.relispartition THEN '{}' ELSE parents.names END AS inherits
FROM pg_catalog.pg_class c
JOIN summed s ON s.root = c.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = c.oid AND d.objsubid = 0
CROSS JOIN LATERAL (
  SELECT ARRAY(
    SELECT pn.nspname || '.' || p.relname FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
    WHERE i.inhrelid = c.oid ORDER BY i.inhseqno) AS names) AS parents
ORDER BY pg_catalog.array_position($1::oid[], c.oid)
"""

COLUMNS = """
SELECT a.attrelid AS relation, a.attname::text AS name,
  pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
  CASE WHEN a.attgenerated = '' THEN written.text END AS "default",
  CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity,
  CASE WHEN a.attgenerated <> '' THEN written.text END AS generated,
  CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END AS storage,
  CASE WHEN a.attcollation <> t.typcollation THEN l.collname::text END AS collation,
  d.description AS comment
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_catalog.pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
LEFT JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = a.attrelid
  AND d.objsubid = a.attnum
CROSS JOIN LATERAL (
  SELECT CASE WHEN a.attrelid <> ALL ($2::oid[])
    THEN pg_catalog.pg_get_expr(e.adbin, e.adrelid) END AS text) AS written
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

KEYS = """
SELECT k.conrelid AS relation, k.conname::text AS name,
  CASE k.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign key'
    ELSE 'exclusion' END AS kind,
  ARRAY(
    SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS part (attnum, at)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = part.attnum
    ORDER BY part.at) AS columns,
  CASE WHEN k.contype <> 'x' OR k.conrelid <> ALL ($2::oid[])
    THEN pg_catalog.pg_get_constraintdef(k.oid) END AS definition,
  k.convalidated AS validated,
  n.nspname::text AS to_schema, c.relname::text AS to_table,
  ARRAY(
    SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS part (attnum, at)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = part.attnum
    ORDER BY part.at) AS to_columns,
  CASE k.confupdtype WHEN 'c' THEN 'cascade' WHEN 'r' THEN 'restrict' WHEN 'n' THEN 'set null'
    WHEN 'd' THEN 'set default' ELSE 'no action' END AS on_update,
  CASE k.confdeltype WHEN 'c' THEN 'cascade' WHEN 'r' THEN 'restrict' WHEN 'n' THEN 'set null'
    WHEN 'd' THEN 'set default' ELSE 'no action' END AS on_delete
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.conrelid = ANY ($1::oid[]) AND k.contype IN ('p', 'u', 'f', 'x')
  -- A foreign key to a partitioned table has a copy for each partition that it leads to.
  AND (k.contype <> 'f' OR k.conparentid = 0
       OR (SELECT p.conrelid <> k.conrelid FROM pg_catalog.pg_constraint p WHERE p.oid = k.conparentid))
ORDER BY k.conrelid, pg_catalog.strpos('puxf', k.contype::text), k.conname
"""

CHECKS = """
SELECT k.conrelid AS relation, k.conname::text AS name,
  CASE WHEN k.conrelid <> ALL ($2::oid[]) THEN pg_catalog.pg_get_constraintdef(k.oid) END AS definition,
  k.convalidated AS validated
FROM pg_catalog.pg_constraint k
WHERE k.conrelid = ANY ($1::oid[]) AND k.contype = 'c'
ORDER BY k.conrelid, k.conname
"""

REFERENCED_BY = """
SELECT k.confrelid AS relation, n.nspname::text AS schema, c.relname::text AS table, k.conname::text AS name,
  ARRAY(
    SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS part (attnum, at)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = part.attnum
    ORDER BY part.at) AS columns,
  CASE k.confdeltype WHEN 'c' THEN 'cascade' WHEN 'r' THEN 'restrict' WHEN 'n' THEN 'set null'
    WHEN 'd' THEN 'set default' ELSE 'no action' END AS on_delete
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.confrelid = ANY ($1::oid[]) AND k.contype = 'f' AND k.conparentid = 0
ORDER BY k.confrelid, n.nspname, c.relname, k.conname
"""

# An index is called unused where its table was read a hundred times and more, and it was not once.
INDEXES = """
SELECT i.indrelid AS relation, c.relname::text AS name,
  CASE WHEN i.indrelid <> ALL ($2::oid[]) THEN pg_catalog.pg_get_indexdef(i.indexrelid) END AS definition,
  i.indisunique AS "unique", i.indisprimary AS "primary", i.indisvalid AND i.indisready AS valid,
  CASE WHEN c.relkind = 'i' AND i.indrelid <> ALL ($2::oid[])
    THEN pg_catalog.pg_relation_size(i.indexrelid) END AS size_bytes,
  CASE WHEN c.relkind = 'i' THEN pg_catalog.pg_stat_get_numscans(i.indexrelid) END AS scans,
  c.relkind = 'i' AND i.indisvalid AND NOT i.indisunique AND NOT i.indisexclusion
    AND pg_catalog.pg_stat_get_numscans(i.indexrelid) = 0
    AND pg_catalog.pg_stat_get_numscans(i.indrelid) + (
      SELECT coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_numscans(other.indexrelid)), 0)
      FROM pg_catalog.pg_index other WHERE other.indrelid = i.indrelid) >= 100 AS unused
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY ($1::oid[])
ORDER BY i.indrelid, i.indisprimary DESC, i.indisunique DESC, c.relname
"""

TRIGGERS = """
SELECT t.tgrelid AS relation, t.tgname::text AS name,
  CASE WHEN t.tgrelid <> ALL ($2::oid[]) THEN pg_catalog.pg_get_triggerdef(t.oid) END AS definition,
  t.tgenabled <> 'D' AS enabled
FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = ANY ($1::oid[]) AND NOT t.tgisinternal
ORDER BY t.tgrelid, t.tgname
"""

POLICIES = """
SELECT p.polrelid AS relation, p.polname::text AS name,
  CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete'
    ELSE 'all' END AS command,
  p.polpermissive AS permissive,
  ARRAY(
    SELECT CASE role WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(role)::text END
    FROM pg_catalog.unnest(p.polroles) AS role) AS roles,
  CASE WHEN p.polrelid <> ALL ($2::oid[]) THEN pg_catalog.pg_get_expr(p.polqual, p.polrelid) END AS "using",
  CASE WHEN p.polrelid <> ALL ($2::oid[])
    THEN pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) END AS "check"
FROM pg_catalog.pg_policy p
WHERE p.polrelid = ANY ($1::oid[])
ORDER BY p.polrelid, p.polname
"""

# $3: how many of one table.
PARTITIONS = """
WITH RECURSIVE part AS (
  SELECT c.oid AS root, c.oid, c.relkind, 0 AS level
  FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'p'
  UNION ALL
  SELECT part.root, c.oid, c.relkind, part.level + 1
  FROM part
  JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid AND part.relkind = 'p'
  JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
),
numbered AS (
  SELECT part.root, part.oid, part.level, part.relkind, n.nspname::text AS schema, c.relname::text AS name,
    c.reltuples, c.relpages, c.relpartbound, pg_catalog.row_number() OVER (
      PARTITION BY part.root ORDER BY part.level, n.nspname, c.relname) AS at
  FROM part
  JOIN pg_catalog.pg_class c ON c.oid = part.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE part.level > 0
)
SELECT p.root AS relation, p.schema, p.name, p.level,
  CASE WHEN p.oid <> ALL ($2::oid[]) THEN pg_catalog.pg_get_expr(p.relpartbound, p.oid) END AS bound,
  CASE WHEN p.relkind = 'r' THEN CASE
    WHEN p.reltuples >= 0 AND p.relpages > 0 THEN p.reltuples::float8 * coalesce(
      heap.bytes::float8 / p.relpages / pg_catalog.current_setting('block_size')::float8, 1)
    WHEN pg_catalog.pg_stat_get_live_tuples(p.oid) > 0 THEN pg_catalog.pg_stat_get_live_tuples(p.oid)::float8
    WHEN heap.bytes = 0 THEN 0 END END::bigint AS rows,
  CASE WHEN p.relkind = 'r' AND p.oid <> ALL ($2::oid[])
    THEN pg_catalog.pg_total_relation_size(p.oid) END AS size_bytes
FROM numbered p
CROSS JOIN LATERAL (
  SELECT CASE WHEN p.relkind = 'r' AND p.oid <> ALL ($2::oid[])
    THEN pg_catalog.pg_relation_size(p.oid) END AS bytes) AS heap
WHERE p.at <= $3::int
ORDER BY p.root, p.at
"""

# To write down a view, the server locks what it reads from.
DEFINITIONS = """
SELECT c.oid AS relation, pg_catalog.pg_get_viewdef(c.oid, true) AS definition
FROM pg_catalog.pg_class c
WHERE c.oid = ANY ($1::oid[]) AND c.relkind IN ('v', 'm') AND c.oid <> ALL ($2::oid[])
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_rewrite w
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.objid = w.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    WHERE w.ev_class = c.oid AND d.refobjid = ANY ($2::oid[]))
"""
