"""A database's schema as text, from its catalogue: what pg_dump says, in a hundredth of its time."""

from __future__ import annotations

SCHEMA = r"""
WITH own AS (
    SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
)
SELECT line FROM (
    SELECT concat_ws(' ', 'schema', nspname, nspowner::regrole, nspacl) FROM pg_namespace
    WHERE oid IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat_ws(' ', 'relation', c.oid::regclass, relkind, relpersistence, relowner::regrole, relacl,
        reloptions, relreplident, relrowsecurity, pg_get_partkeydef(c.oid), pg_get_expr(relpartbound, c.oid),
        (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = c.oid AND NOT inhdetachpending),
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)
    FROM pg_class c WHERE relnamespace IN (SELECT oid FROM own) AND relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT concat_ws(' ', 'column', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN 'not null' END, attidentity, attgenerated,
        attcollation::regcollation, attacl, 'default ' || pg_get_expr(adbin, adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace IN (SELECT oid FROM own) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
        AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid), indisvalid, indisready, indislive)
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'function', proowner::regrole, proacl, pg_get_functiondef(oid)) FROM pg_proc
    WHERE pronamespace IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat_ws(' ', 'sequence', seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement, seqcycle)
    FROM pg_sequence
    UNION ALL
    SELECT concat_ws(' ', 'type', oid::regtype, typtype, typowner::regrole, typacl) FROM pg_type
    WHERE typnamespace IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension
    UNION ALL
    SELECT concat_ws(' ', 'comment', pg_describe_object(classoid, objoid, objsubid), description)
    FROM pg_description WHERE objoid >= 16384
    UNION ALL
    SELECT concat_ws(' ', 'default acl', defaclrole::regrole, defaclobjtype, defaclacl) FROM pg_default_acl
) AS lines (line)
ORDER BY line COLLATE "C"
"""
