"""The connection parameters of libpq and of the drivers whose URLs people have, and what becomes of each.

MEANT are kept in the Dsn. DROPPED are understood and without meaning here: accepted with a note. REFUSED
ask for a guarantee that the driver cannot give, so that dropping them would weaken the connection.
SERVER_SETTINGS (and any name with a dot) are sent to the server when the session starts.
"""

from __future__ import annotations

from collections.abc import Mapping

MEANT = frozenset(
    {
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "sslmode",
        "ssl",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslaccept",
        "channel_binding",
        "application_name",
        "fallback_application_name",
        "options",
        "target_session_attrs",
        "connect_timeout",
        "schema",
    }
)

ALIASES: Mapping[str, str] = {
    "database": "dbname",
    "username": "user",
    "currentSchema": "schema",
    "ApplicationName": "application_name",
    "TimeZone": "timezone",
}

FILES = frozenset({"service", "servicefile", "passfile"})
"""What only `settings` can resolve, because it names a file."""

_POOL = "pgready opens its own few connections"
_PREPARED = "pgready caches no prepared statements"
_KEPT_ALIVE = "pgready sets its own limits for dead connections"
_KERBEROS = "Kerberos is not used"
_OWN_TIMEOUT = "pgready's own sessions have no such limit"

OVERRIDDEN: Mapping[str, str] = {
    "statement_timeout": "--statement-timeout (PGREADY_STATEMENT_TIMEOUT) limits statements",
    "lock_timeout": "waits are short and tried again; the directive lock-timeout sets a script's own",
    "idle_in_transaction_session_timeout": _OWN_TIMEOUT,
    "idle_session_timeout": _OWN_TIMEOUT,
    "transaction_timeout": _OWN_TIMEOUT,
}
"""Settings of the server that every session of a run sets itself, in `options` too."""

DROPPED: Mapping[str, str] = {
    **OVERRIDDEN,
    "pgbouncer": "a pooler is recognised when connected (see PGREADY_POOLER)",
    "connection_limit": _POOL,
    "pool_timeout": _POOL,
    "pool_size": _POOL,
    "pool_max_conns": _POOL,
    "pool_min_conns": _POOL,
    "pool_mode": _POOL,
    "max_overflow": _POOL,
    "socket_timeout": "PGREADY_STATEMENT_TIMEOUT limits statements",
    "statement_cache_size": _PREPARED,
    "prepared_statement_cache_size": _PREPARED,
    "statement_cache_capacity": _PREPARED,
    "description_cache_capacity": _PREPARED,
    "default_query_exec_mode": _PREPARED,
    "prefer_simple_protocol": _PREPARED,
    "prepare_threshold": _PREPARED,
    "binary_parameters": _PREPARED,
    "keepalives": _KEPT_ALIVE,
    "keepalives_idle": _KEPT_ALIVE,
    "keepalives_interval": _KEPT_ALIVE,
    "keepalives_count": _KEPT_ALIVE,
    "tcp_user_timeout": _KEPT_ALIVE,
    "krbsrvname": _KERBEROS,
    "gsslib": _KERBEROS,
    "gssdelegation": _KERBEROS,
    "sslcompression": "TLS compression is never used",
    "sslsni": "the server name is always sent",
    "sslinline": "certificates are read from files",
    "uselibpqcompat": "sslmode is always read as libpq reads it",
    "supa": "it is for another client",
}

REFUSED: Mapping[str, str] = {
    "x-migrations-table": "PGREADY_HISTORY_TABLE names golang-migrate's table",
    "x-migrations-table-quoted": "PGREADY_HISTORY_TABLE names golang-migrate's table",
    "sslpassword": "a TLS key with a passphrase cannot be used; store the key without one",
    "sslcrl": "revocation lists are not checked",
    "sslcrldir": "revocation lists are not checked",
    "sslidentity": "write sslcert and sslkey (PEM) instead",
    "sslkeylogfile": "TLS keys are not logged",
    "require_auth": "the driver cannot limit how the server authenticates",
    "requirepeer": "the driver cannot check the server's user",
    "requiressl": "write sslmode=require",
    "scram_client_key": "write the password instead",
    "scram_server_key": "write the password instead",
    "oauth_issuer": "OAuth is not supported",
    "oauth_client_id": "OAuth is not supported",
    "oauth_client_secret": "OAuth is not supported",
    "oauth_scope": "OAuth is not supported",
}

CHOICES: Mapping[str, tuple[str, ...]] = {
    "ssl": (
        "true",
        "false",
        "disable",
        "allow",
        "prefer",
        "require",
        "verify-ca",
        "verify-full",
        "no-verify",
    ),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full", "no-verify"),
    "sslaccept": ("strict", "accept_invalid_certs"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}

ONLY: Mapping[str, tuple[str, ...]] = {
    "client_encoding": ("utf8", "utf-8", "unicode", "auto"),
    "gssencmode": ("disable", "prefer"),
    "replication": ("false", "off", "no", "0"),
    "sslnegotiation": ("postgres",),
    "sslcertmode": ("allow", "disable"),
    "load_balance_hosts": ("disable",),
    "ssl_min_protocol_version": ("tlsv1", "tlsv1.1", "tlsv1.2"),
    "ssl_max_protocol_version": ("tlsv1.3",),
    "min_protocol_version": ("3.0",),
    "max_protocol_version": ("3.0", "3.2", "latest"),
}
"""Parameters that change nothing with these values, and cannot be honoured with any other."""

SERVER_SETTINGS = frozenset(
    {
        "search_path",
        "role",
        "timezone",
        "datestyle",
        "intervalstyle",
        "geqo",
        "default_transaction_isolation",
        "default_transaction_read_only",
        "default_tablespace",
        "session_replication_role",
        "maintenance_work_mem",
        "work_mem",
    }
)

VARIABLES: Mapping[str, str] = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLCRL": "sslcrl",
    "PGSSLCRLDIR": "sslcrldir",
    "PGSSLNEGOTIATION": "sslnegotiation",
    "PGSSLCERTMODE": "sslcertmode",
    "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
    "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version",
    "PGREQUIREAUTH": "require_auth",
    "PGREQUIREPEER": "requirepeer",
    "PGCHANNELBINDING": "channel_binding",
    "PGGSSENCMODE": "gssencmode",
    "PGAPPNAME": "application_name",
    "PGOPTIONS": "options",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGCLIENTENCODING": "client_encoding",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
    "PGLOADBALANCEHOSTS": "load_balance_hosts",
    "PGTZ": "timezone",
    "PGDATESTYLE": "datestyle",
}
"""libpq's environment variables and the parameter that each one gives."""

KNOWN = frozenset({*MEANT, *ALIASES, *FILES, *DROPPED, *REFUSED, *ONLY, *SERVER_SETTINGS})
