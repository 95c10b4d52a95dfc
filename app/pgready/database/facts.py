"""One look at the catalogue: a Question in, CatalogFacts out, in one round trip.

Only catalogues that every role may read are touched, so that a look works for any role. Names of the
server's own are qualified: whoever may create in a schema of the search_path must not answer for it.
Which extensions could be installed is read from the server's disk, so it is asked only for those that
are not there.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from pgready.core.facts import CatalogFacts, Question
from pgready.core.quoting import exact, fill, literals
from pgready.database.session import Session


async def read_facts(session: Session, question: Question) -> CatalogFacts:
    """What the catalogue of *session*'s database answers to *question*."""
    text = await session.fetchval(_FACTS, msgspec.json.encode(question).decode())
    return msgspec.json.decode(text, type=CatalogFacts)


async def read_passwords(session: Session, roles: list[str]) -> dict[str, str | None]:
    """The stored verifiers of *roles*; needs the right to read pg_authid."""
    rows = await session.read(fill(_PASSWORDS, roles=literals(roles)), _Password)
    return {row.name: row.password for row in rows}


class _Password(Struct, frozen=True):
    name: str
    password: str | None


_PASSWORDS = exact(
    """
SELECT rolname::pg_catalog.text AS name, rolpassword AS password
FROM pg_catalog.pg_authid
WHERE rolname = ANY (ARRAY[:roles]::pg_catalog.text[])
"""
)

_FACTS = exact(
    """
WITH question AS MATERIALIZED (SELECT $1::pg_catalog.jsonb AS q),
wanted_extension AS MATERIALIZED (
  SELECT pair ->> 0 AS name, pair ->> 1 AS version
  FROM question, pg_catalog.jsonb_array_elements(q -> 'extensions') AS pair
),
absent_extension AS MATERIALIZED (
  SELECT name FROM wanted_extension
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = name)
),
asked_grant AS MATERIALIZED (
  SELECT ask.ordinality, r.*,
    (SELECT pg_catalog.array_agg(CASE WHEN g = 'public' THEN 0::pg_catalog.oid ELSE role.oid END)
     FROM pg_catalog.unnest(r."to") AS g LEFT JOIN pg_catalog.pg_roles AS role ON role.rolname = g
    ) AS grantees
  FROM question,
    pg_catalog.jsonb_array_elements(q -> 'grants') WITH ORDINALITY AS ask,
    pg_catalog.jsonb_to_record(ask.value)
      AS r(kind pg_catalog.text, "schema" pg_catalog.text, name pg_catalog.text,
           privileges pg_catalog.text[], "to" pg_catalog.text[])
),
asked_default AS MATERIALIZED (
  SELECT ask.ordinality, r.*, owner.oid AS owner_oid, namespace.oid AS namespace_oid,
    CASE WHEN r.kind = 'tables' THEN 'r' WHEN r.kind = 'sequences' THEN 'S' WHEN r.kind = 'functions' THEN 'f'
      WHEN r.kind = 'types' THEN 'T' ELSE 'n' END::pg_catalog."char" AS letter,
    (SELECT pg_catalog.array_agg(CASE WHEN g = 'public' THEN 0::pg_catalog.oid ELSE role.oid END)
     FROM pg_catalog.unnest(r."to") AS g LEFT JOIN pg_catalog.pg_roles AS role ON role.rolname = g
    ) AS grantees
  FROM question,
    pg_catalog.jsonb_array_elements(q -> 'defaults') WITH ORDINALITY AS ask,
    pg_catalog.jsonb_to_record(ask.value)
      AS r(kind pg_catalog.text, "schema" pg_catalog.text, owner pg_catalog.text,
           privileges pg_catalog.text[], "to" pg_catalog.text[])
    LEFT JOIN pg_catalog.pg_roles AS owner ON owner.rolname = r.owner
    LEFT JOIN pg_catalog.pg_namespace AS namespace ON namespace.nspname = r."schema"
)
SELECT pg_catalog.jsonb_build_object(
  'server_version_num', pg_catalog.current_setting('server_version_num')::int,
  'database', pg_catalog.current_database(),
  'user', current_user,
  'reads_passwords', pg_catalog.has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT'),
  'target', q ->> 'target',
  'target_user', q ->> 'target_user',
  'target_fact', (
    SELECT pg_catalog.jsonb_build_object(
      'owner', pg_catalog.pg_get_userbyid(d.datdba),
      'encoding', pg_catalog.pg_encoding_to_char(d.encoding),
      'collate', d.datcollate,
      'ctype', d.datctype,
      'connection_limit', d.datconnlimit,
      -- Columns that came with 15 and 17, read so that their absence is no error.
      'locale_provider', CASE WHEN (pg_catalog.to_jsonb(d) ->> 'datlocprovider') = 'i' THEN 'icu'
        WHEN (pg_catalog.to_jsonb(d) ->> 'datlocprovider') = 'b' THEN 'builtin' ELSE 'libc' END,
      'icu_locale', coalesce(
        pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale'))
    FROM pg_catalog.pg_database AS d WHERE d.datname = (q ->> 'target')),
  'roles', (
    SELECT coalesce(pg_catalog.jsonb_object_agg(r.rolname, pg_catalog.jsonb_build_object(
      'login', r.rolcanlogin,
      'inherit', r.rolinherit,
      'createdb', r.rolcreatedb,
      'createrole', r.rolcreaterole,
      'replication', r.rolreplication,
      'bypassrls', r.rolbypassrls,
      'connection_limit', r.rolconnlimit,
      'member_of', ARRAY(
        SELECT pg_catalog.pg_get_userbyid(m.roleid)
        FROM pg_catalog.pg_auth_members AS m WHERE m.member = r.oid))), '{}')
    FROM pg_catalog.pg_roles AS r WHERE q -> 'roles' ? r.rolname::pg_catalog.text),
  'schemas', (
    SELECT coalesce(pg_catalog.jsonb_object_agg(
      n.nspname, pg_catalog.pg_get_userbyid(n.nspowner)), '{}')
    FROM pg_catalog.pg_namespace AS n WHERE q -> 'schemas' ? n.nspname::pg_catalog.text),
  'extensions', (
    SELECT coalesce(pg_catalog.jsonb_object_agg(e.extname, pg_catalog.jsonb_build_object(
      'version', e.extversion,
      'schema', n.nspname,
      'reachable', CASE
        WHEN w.version <> e.extversion
          AND EXISTS (SELECT FROM pg_catalog.pg_available_extensions() AS a WHERE a.name = e.extname)
        THEN (
          SELECT coalesce(pg_catalog.jsonb_agg(u.target), '[]')
          FROM pg_catalog.pg_extension_update_paths(e.extname) AS u
          WHERE u.source = e.extversion AND u.path IS NOT NULL)
        ELSE '[]' END)), '{}')
    FROM wanted_extension AS w
    JOIN pg_catalog.pg_extension AS e ON e.extname = w.name
    JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace),
  'available', CASE WHEN EXISTS (SELECT FROM absent_extension) THEN (
    SELECT coalesce(pg_catalog.jsonb_object_agg(a.name, a.versions), '{}')
    FROM (
      SELECT v.name, pg_catalog.jsonb_agg(v.version) AS versions
      FROM pg_catalog.pg_available_extension_versions() AS v
      WHERE v.name = ANY (SELECT name FROM absent_extension)
      GROUP BY v.name) AS a)
    ELSE '{}' END,
  'grants', (
    SELECT coalesce(pg_catalog.jsonb_agg(
      CASE WHEN object.lacking THEN 'lacking'
        WHEN object.seen = 0 AND ask.kind = ANY ('{schema,table,sequence}'::pg_catalog.text[]) THEN 'absent'
        ELSE 'granted' END ORDER BY ask.ordinality), '[]')
    FROM asked_grant AS ask, LATERAL (
      SELECT pg_catalog.count(*) AS seen, coalesce(pg_catalog.bool_or(EXISTS (
        SELECT FROM pg_catalog.unnest(ask.grantees) AS who,
          pg_catalog.unnest(ask.privileges) AS permit
        WHERE NOT EXISTS (
          SELECT FROM pg_catalog.aclexplode(candidate.acl) AS held
          WHERE held.grantee = who AND held.privilege_type = permit))), false) AS lacking
      FROM (
        SELECT coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba)) AS acl
        FROM pg_catalog.pg_database AS d
        WHERE ask.kind = 'database' AND d.datname = pg_catalog.current_database()
        UNION ALL
        SELECT coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
        FROM pg_catalog.pg_namespace AS n
        WHERE ask.kind = 'schema' AND n.nspname = ask."schema"
        UNION ALL
        SELECT coalesce(c.relacl, pg_catalog.acldefault(
          CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END::pg_catalog."char", c.relowner))
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = ask."schema"
          AND (ask.name IS NULL OR c.relname = ask.name)
          AND CASE WHEN ask.kind = ANY ('{table,all_tables}'::pg_catalog.text[])
            THEN c.relkind = ANY ('{r,p,v,m,f}'::pg_catalog."char"[])
            WHEN ask.kind = ANY ('{sequence,all_sequences}'::pg_catalog.text[])
            THEN c.relkind = 'S' ELSE false END
          AND (ask.name IS NOT NULL OR NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS part
            WHERE part.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
              AND part.objid = c.oid AND part.deptype = 'e'))
        UNION ALL
        SELECT coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
        FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        WHERE ask.kind = 'all_functions' AND n.nspname = ask."schema"
          AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS part
            WHERE part.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
              AND part.objid = p.oid AND part.deptype = 'e')
      ) AS candidate
    ) AS object),
  'defaults', (
    SELECT coalesce(pg_catalog.jsonb_agg(
      CASE WHEN ask."schema" IS NOT NULL AND ask.namespace_oid IS NULL THEN 'absent'
        WHEN EXISTS (
          SELECT FROM pg_catalog.unnest(ask.grantees) AS who,
            pg_catalog.unnest(ask.privileges) AS permit
          WHERE NOT EXISTS (
            SELECT FROM pg_catalog.aclexplode(coalesce(
              (SELECT d.defaclacl FROM pg_catalog.pg_default_acl AS d
               WHERE d.defaclrole = ask.owner_oid AND d.defaclobjtype = ask.letter
                 AND d.defaclnamespace = coalesce(ask.namespace_oid, 0)),
              -- Without a row the built-in privileges hold; a schema's row only adds to them.
              CASE WHEN ask."schema" IS NULL THEN pg_catalog.acldefault(
                CASE WHEN ask.letter = 'S' THEN 's' ELSE ask.letter END, ask.owner_oid) END)) AS held
            WHERE held.grantee = who AND held.privilege_type = permit)) THEN 'lacking'
        ELSE 'granted' END ORDER BY ask.ordinality), '[]')
    FROM asked_default AS ask)
)::pg_catalog.text
FROM question
"""
)
