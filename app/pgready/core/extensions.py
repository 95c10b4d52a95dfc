"""Where extensions come from, for telling what to install when the server does not have one."""

from __future__ import annotations

from collections.abc import Mapping

from pgready.core.bootstrap import Declared, Extension
from pgready.core.errors import BootstrapFailed
from pgready.core.facts import CatalogFacts
from pgready.core.needs import OPTIONAL, Lack

_CONTRIB = frozenset(
    {
        "amcheck", "autoinc", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dblink",
        "dict_int", "dict_xsyn", "earthdistance", "file_fdw", "fuzzystrmatch", "hstore",
        "insert_username", "intagg", "intarray", "isn", "lo", "ltree", "moddatetime", "pageinspect",
        "pg_buffercache", "pg_freespacemap", "pg_logicalinspect", "pg_prewarm", "pg_stat_statements",
        "pg_surgery", "pg_trgm", "pg_visibility", "pg_walinspect", "pgcrypto", "pgrowlocks",
        "pgstattuple", "postgres_fdw", "refint", "seg", "sslinfo", "tablefunc", "tcn",
        "tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp", "xml2",
    }
)  # fmt: skip

_POSTGIS = "the image postgis/postgis or Debian's postgresql-{major}-postgis-3"
_SOURCES: Mapping[str, str] = {
    "vector": "the image pgvector/pgvector:pg{major} or Debian's postgresql-{major}-pgvector",
    "postgis": _POSTGIS,
    "postgis_raster": _POSTGIS,
    "postgis_topology": _POSTGIS,
    "postgis_tiger_geocoder": _POSTGIS,
    "address_standardizer": _POSTGIS,
    "pgrouting": "Debian's postgresql-{major}-pgrouting",
    "timescaledb": "the image timescale/timescaledb:latest-pg{major} or the package "
    "timescaledb-2-postgresql-{major}, and shared_preload_libraries",
    "pg_cron": "Debian's postgresql-{major}-cron, and shared_preload_libraries",
    "pg_partman": "Debian's postgresql-{major}-partman",
    "pgaudit": "Debian's postgresql-{major}-pgaudit, and shared_preload_libraries",
    "pg_hint_plan": "Debian's postgresql-{major}-pg-hint-plan",
    "pg_repack": "Debian's postgresql-{major}-repack",
    "pglogical": "Debian's postgresql-{major}-pglogical, and shared_preload_libraries",
    "hypopg": "Debian's postgresql-{major}-hypopg",
    "rum": "Debian's postgresql-{major}-rum",
    "hll": "Debian's postgresql-{major}-hll",
    "ip4r": "Debian's postgresql-{major}-ip4r",
    "orafce": "Debian's postgresql-{major}-orafce",
    "pgtap": "Debian's postgresql-{major}-pgtap",
    "prefix": "Debian's postgresql-{major}-prefix",
    "semver": "Debian's postgresql-{major}-semver",
    "unit": "Debian's postgresql-{major}-unit",
    "http": "Debian's postgresql-{major}-http",
    "age": "the image apache/age or Debian's postgresql-{major}-age",
    "citus": "the image citusdata/citus, and shared_preload_libraries",
    "plperl": "Debian's postgresql-plperl-{major}",
    "plperlu": "Debian's postgresql-plperl-{major}",
    "plpython3u": "Debian's postgresql-plpython3-{major}",
    "pltcl": "Debian's postgresql-pltcl-{major}",
    "pltclu": "Debian's postgresql-pltcl-{major}",
}

_MISNAMED: Mapping[str, str] = {
    "pgvector": "vector",
    "uuid": "uuid-ossp",
    "uuid_ossp": "uuid-ossp",
    "trgm": "pg_trgm",
    "timescale": "timescaledb",
    "pg_crypto": "pgcrypto",
    "partman": "pg_partman",
}


def source(name: str, major: int) -> str:
    """What provides the extension *name* for a server of version *major*, in words."""
    if name in _MISNAMED:
        return f"its name is {_MISNAMED[name]}"
    if name in _CONTRIB:
        text = f"contrib has it: Debian's postgresql-{major}, Alpine's or Red Hat's postgresql{major}-contrib"
        return text + _UUID_REMARK if name == "uuid-ossp" else text
    if name in _SOURCES:
        return _SOURCES[name].format(major=major)
    return f"install the package that has it for PostgreSQL {major}, on the server"


_UUID_REMARK = "; for random UUIDs it is not needed, gen_random_uuid() is built in since PostgreSQL 13"


def is_available(extension: Extension, facts: CatalogFacts) -> bool:
    """Whether *extension*, which is not installed, could be, in the version that is asked for."""
    versions = facts.available.get(extension.name, ())
    return bool(versions) if extension.version is None else extension.version in versions


def why_not(extension: Extension, facts: CatalogFacts) -> str:
    """What to say of an extension that is not available."""
    versions = facts.available.get(extension.name, ())
    if versions:
        return f"the server has no version {extension.version} of it, only {', '.join(versions)}"
    return f"the server (PostgreSQL {facts.server_major}) does not have it"


def cure(extension: Extension, facts: CatalogFacts) -> str:
    """What to do about an extension that is not available."""
    if facts.available.get(extension.name):
        return "ask for one of these versions, or for none"
    return source(extension.name, facts.server_major)


def lacking(declared: Declared, facts: CatalogFacts) -> tuple[Lack, ...]:
    """Every required extension that the server cannot create."""
    return tuple(
        Lack(each.name, why_not(each, facts), cure(each, facts))
        for each in declared.extensions
        if not each.optional and each.name not in facts.extensions and not is_available(each, facts)
    )


def unavailable(declared: Declared, facts: CatalogFacts) -> BootstrapFailed | None:
    """The error that names every required extension which the server cannot create, or None."""
    lacks = lacking(declared, facts)
    if not lacks:
        return None
    what = "\n".join(f"extension {each.name}: {each.why}" for each in lacks)
    cures = [f"{each.name}: {each.cure}" for each in lacks]
    return BootstrapFailed(what, hint="; ".join([*cures, OPTIONAL]))
