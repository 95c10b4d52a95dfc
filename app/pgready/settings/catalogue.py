"""Every setting, as a table. docs/settings.md holds the same table for readers; a test compares them."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from pgready.settings import values


class Setting(Struct, frozen=True):
    """One setting under its three names: *name* in the file, `--name` and `PGREADY_NAME`.

    *default* is text as it would be written, None where there is none. A *secret* is never shown.
    """

    name: str
    read: Callable[[str], object]
    default: str | None
    meaning: str
    also: tuple[str, ...] = ()
    secret: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def form(self) -> str:
        """What it takes, for a help."""
        return values.form(self.read)

    @property
    def bare(self) -> str | None:
        """What the flag says without a value; None where it needs one."""
        return "true" if self.read in (values.boolean, values.embedded) else None

    @property
    def variable(self) -> str:
        return "PGREADY_" + self.name.upper()


_LEVEL = values.choice("debug", "info", "warning", "error")
_POLICY = values.choice("refuse", "warn", "allow")

CATALOGUE: tuple[Setting, ...] = (
    Setting(
        "database_url",
        values.url,
        None,
        "the target: the database to make ready",
        also=("MIGRATION_DATABASE_URL",),
        secret=True,
    ),
    Setting(
        "admin_database_url",
        values.url,
        None,
        "who may create the database, roles and extensions; the target's own URL where it is not set",
        secret=True,
    ),
    Setting("dir", values.path, "sql", "the migration folder, native or a peer's"),
    Setting("dialect", values.name, None, "which tool's layout and history; found by itself"),
    Setting(
        "history_table", values.name, None, "a peer's history table under another name: `name`, `schema.name`"
    ),
    Setting("namespace", values.name, "default", "which of several histories in one database"),
    Setting("extensions", values.listed, None, "extensions to create: `vector,uuid-ossp?,pg_trgm=1.6`"),
    Setting("connect_timeout", values.duration, "60s", "total patience for the server"),
    Setting("lock_timeout", values.duration, "10m", "total patience for another replica's run"),
    Setting(
        "relation_lock_timeout",
        values.duration,
        "10m",
        "budget of one migration's retries for a table's lock",
    ),
    Setting(
        "statement_timeout",
        values.server_timeout,
        "0",
        "limit of one statement of a script, at most 24 days; 0 is none",
    ),
    Setting("pooler", values.choice("session"), None, "`session` vouches for a session pooler"),
    Setting("out_of_order", _POLICY, "warn", "a pending migration that is older than an applied one"),
    Setting("ahead", _POLICY, "warn", "applied migrations that are newer than the folder"),
    Setting("changed", _POLICY, "refuse", "a file that changed after it was applied"),
    Setting("missing", _POLICY, "refuse", "an applied migration, not the newest, that the folder lacks"),
    Setting("cosmetic", _POLICY, "warn", "a file whose comments or white space changed"),
    Setting(
        "host",
        values.listed,
        "127.0.0.1",
        "where `serve` listens: addresses and, with a `/`, Unix sockets; commas between",
    ),
    Setting("port", values.port, "8080", "the port where `serve` listens"),
    Setting("token_file", values.path, None, "the file of the bearer token that `POST /retry` needs"),
    Setting(
        "show_sql",
        values.boolean,
        "false",
        "show SQL on the page of `serve`, and the DETAIL of errors over HTTP",
    ),
    Setting(
        "show_schema", values.boolean, "true", "serve `/schema`: tables, columns and indexes as they are"
    ),
    Setting(
        "poll_interval",
        values.duration,
        "5s",
        "how often `serve` asks whether the target is there and as it was; 0 is never",
    ),
    Setting(
        "embedded",
        values.embedded,
        "off",
        "run on an embedded PostgreSQL: `on`, or its data directory (`.pgready/postgres`)",
    ),
    Setting(
        "log_format",
        values.choice("console", "json", "logfmt"),
        None,
        "`console`, `json` or `logfmt`; by itself console on a terminal, else json",
    ),
    Setting(
        "log_level",
        values.choice("debug", "info", "warning", "error"),
        "info",
        "`debug`, `info`, `warning` or `error`: the least that is logged",
    ),
    Setting(
        "env", values.name, None, "the environment's name in logs and status", also=("APP_ENV", "NODE_ENV")
    ),
    Setting(
        "metrics_file",
        values.path,
        None,
        "a file for node_exporter's textfile collector (`*.prom`), written when a run ends",
    ),
    Setting(
        "termination_log",
        values.path,
        None,
        "where a failure is told to Kubernetes; by itself `/dev/termination-log` in a pod; `off` for nowhere",
    ),
)

BY_NAME = {setting.name: setting for setting in CATALOGUE}

OTHER_VARIABLES = {
    "PGREADY_EMBEDDED_BINDIR": "the directory of another PostgreSQL's binaries for `--embedded`",
    "PGREADY_IMAGE": "the image, in the Compose files; often set in the same `.env`",
    "PGREADY_PUBLISH": "the published address, in the Compose files",
}
"""Variables that other parts of pgready read; they are no settings, but no typing errors either."""

TESTS_AND_TOOLS = r"PGREADY_(TEST|BENCH|CI)_\w+"

_SERVICE_LINKS = r"PGREADY_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
_SERVICE_ADDRESS = ("tcp://", "udp://", "sctp://")  # healthcheck, which loads nothing of ours, has them too


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes put *name* into the pod because a Service's name begins with `pgready`.

    One of them has the name of a setting: `PGREADY_PORT=tcp://10.0.0.1:8080`.
    """
    # Most do not, and a pattern takes time to compile.
    looks_like_one = "_SERVICE_" in name or "_PORT_" in name
    return bool(
        (looks_like_one and re.fullmatch(_SERVICE_LINKS, name))
        or (name.endswith("_PORT") and value.strip().startswith(_SERVICE_ADDRESS))
    )
