"""Where and how to connect, as a value: every form that people and tools write, parsed once.

The driver never sees a URL: its own messages about a bad one hold pieces of the password, and it rejects
what other tools accept (FIELD-NOTES 6, 7). See `core.conninfo` for the two forms and what a message may
show, `core.dsn_parameters` for what becomes of each parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import conninfo
from pgready.core import dsn_parameters as known
from pgready.core.conninfo import Conninfo, DsnError
from pgready.core.secrets import MASK, Secret
from pgready.core.suggestions import suggest

__all__ = ["DEFAULT_HOSTS", "DEFAULT_PORT", "DEFAULT_USER", "Dsn", "DsnError", "build", "parse"]

DEFAULT_PORT = 5432
DEFAULT_USER = "postgres"
DEFAULT_HOSTS = "/var/run/postgresql,/tmp,localhost"
"""Tried in this order where no host is given: the places where servers on this machine listen."""

_HOST = re.compile(r"/.*|[\w.-]+|[0-9A-Fa-f:.]+(%[\w.-]+)?", re.DOTALL)
_PLAIN = ("user", "dbname")
# Compiled where they are used: for parameters that nobody knows.
_NAME = r"(?a)[A-Za-z][\w.-]*"
_FOREIGN = r"(?a)x-[a-z-]+|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"
"""Unknown names that are accepted: golang-migrate's own, and server settings of extensions (`app.tenant`)."""


class Dsn(Struct, frozen=True):
    """One target's address, in libpq's terms.

    A host that starts with `/` is a socket directory. *sslmode* is one of libpq's six; `require` without
    *sslrootcert* verifies nothing, and *sslrootcert* may be `system`. *schema* is Prisma's `?schema=`.
    *notes* name the parameters that were understood and dropped, one a line. *names* are what `host` calls
    the hosts where `hostaddr` says where they are: a password file knows them by name. *passwords* are one
    for each host where they differ, and *password* is then None.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: Secret | None
    database: str
    sslmode: str = "prefer"
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    application_name: str = ""
    server_settings: Mapping[str, str] = {}
    target_session_attrs: str = "any"
    connect_timeout_seconds: float | None = None
    schema: str | None = None
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    passwords: tuple[Secret | None, ...] = ()

    @property
    def masked(self) -> str:
        """This address as a URL to show: `***` stands for the password."""
        user = quote(self.user, safe="") + (f":{MASK}" if self.has_password else "")
        return f"postgresql://{user}@{self.places}/{quote(self.database, safe='')}"

    @property
    def has_password(self) -> bool:
        return self.password is not None or any(self.passwords)

    @property
    def places(self) -> str:
        """The hosts and their ports as a URL has them."""
        return ",".join(_show_host(host, port) for host, port in self.hosts)

    @property
    def each_host(self) -> tuple[Dsn, ...]:
        """This address once for each of its hosts."""
        if self.password is not None or not self.passwords:
            return tuple(replace(self, hosts=(host,), names=(), passwords=()) for host in self.hosts)
        return tuple(
            replace(self, hosts=(host,), names=(), password=password, passwords=())
            for host, password in zip(self.hosts, self.passwords, strict=True)
        )

    def with_database(self, name: str) -> Dsn:
        """The same server and user, another database."""
        return replace(self, database=name)

    def with_password(self, password: Secret) -> Dsn:
        """The same address with *password*."""
        return replace(self, password=password)

    def with_passwords(self, passwords: tuple[Secret | None, ...]) -> Dsn:
        """The same address with *passwords*, one for each host."""
        if len(set(passwords)) == 1:
            return replace(self, password=passwords[0])
        return replace(self, password=None, passwords=passwords)


def parse(text: str, *, defaults: Mapping[str, str] | None = None) -> Dsn:
    """Read a URL or keywords; *defaults* are parameters by libpq's names for what *text* leaves out.

    Raises DsnError with every problem found, none of them holding any piece of the password.
    """
    return build(conninfo.split(text), defaults=defaults)


def build(written: Conninfo, *, defaults: Mapping[str, str] | None = None) -> Dsn:
    """Make a Dsn of parameters. Raises DsnError."""
    builder = _Builder({**(defaults or {})}, written)
    dsn = builder.dsn()
    if builder.problems:
        raise DsnError(tuple(builder.problems))
    return dsn


class _Builder:
    """Reads parameters into fields and collects what is wrong with them."""

    def __init__(self, defaults: Mapping[str, str], written: Conninfo) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.settings: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.hidden = written.hidden
        self.of_address = written.of_address
        given = {known.ALIASES.get(name, name): value for name, value in written.parameters.items() if value}
        for name, value in {**defaults, **given}.items():
            self._take(name, value)

    def _take(self, name: str, value: str) -> None:
        if problem := self._objection(name, value):
            self.problems.append(problem)
        elif name in known.MEANT:
            self.values[name] = value
        elif name in known.DROPPED:
            self.notes.append(f"{name} is ignored: {known.DROPPED[name]}")
        elif name.startswith("x-"):
            self.notes.append(f"{name} is ignored: it is for golang-migrate")
        elif name in known.SERVER_SETTINGS or "." in name:
            self.settings[name] = value

    def _objection(self, name: str, value: str) -> str | None:
        if name not in known.KNOWN and (name in self.hidden or not re.fullmatch(_FOREIGN, name)):
            return self._unknown(name)
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            return f"{name} is not UTF-8 text"
        if name in known.REFUSED:
            return f"{name} cannot be kept: {known.REFUSED[name]}"
        if name in known.FILES:
            return f"{name} works in settings only (environment, flags), where files are read"
        if name in _PLAIN and conninfo.is_url(value):
            return f"{name} holds an address (not shown), where only a name belongs"
        choices = known.CHOICES.get(name) or known.ONLY.get(name)
        if choices and value.lower() not in choices:
            return f"{name} must be one of {', '.join(choices)}"
        return None

    def _unknown(self, name: str) -> str:
        if name in self.hidden or not re.fullmatch(_NAME, name):
            return f"an unknown parameter (not shown, it may be a piece of a password); {conninfo.ENCODE}"
        return f"unknown parameter {name}{suggest(name, known.KNOWN)}"

    def dsn(self) -> Dsn:
        user = self.values.get("user") or DEFAULT_USER
        password = self.values.get("password")
        hosts = self._hosts()
        several = len(hosts) > 1 and "host" in self.values
        self._read_options()
        sslmode = self._sslmode()
        return Dsn(
            hosts=hosts,
            user=user,
            password=Secret(password) if password else None,
            database=self.values.get("dbname") or user,
            sslmode=sslmode,
            sslrootcert=self.values.get("sslrootcert"),
            sslcert=self.values.get("sslcert"),
            sslkey=self.values.get("sslkey"),
            application_name=self.values.get("application_name")
            or self.values.get("fallback_application_name", ""),
            server_settings=self.settings,
            # Of several hosts, the one that can be migrated is meant.
            target_session_attrs=self.values.get("target_session_attrs", "primary" if several else "any"),
            connect_timeout_seconds=self._connect_timeout(),
            schema=self.values.get("schema"),
            notes=tuple(self.notes),
            names=self._names(hosts),
        )

    def _hosts(self) -> tuple[tuple[str, int], ...]:
        text = self.values.get("hostaddr") or self.values.get("host") or DEFAULT_HOSTS
        hosts = [_host_and_port(host) for host in text.split(",")]
        if not all(not host or _HOST.fullmatch(host) for host, _ in hosts):
            encode = f"; {conninfo.ENCODE}" if self.of_address else ""
            self.problems.append(f"a host is no name, address or /directory{encode}")
        ports = self.values.get("port", "").split(",")
        if len(ports) == 1:
            ports *= len(hosts)
        if len(ports) != len(hosts):
            self.problems.append(f"{len(hosts)} host{'s' if len(hosts) > 1 else ''} but {len(ports)} ports")
            return ()
        return tuple(
            (host or "localhost", self._port(own_port or port))
            for (host, own_port), port in zip(hosts, ports, strict=True)
        )

    def _names(self, hosts: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
        if not ("host" in self.values and "hostaddr" in self.values):
            return ()
        names = [_host_and_port(name)[0] for name in self.values["host"].split(",")]
        if hosts and len(names) != len(hosts):
            self.problems.append(f"{len(hosts)} addresses (hostaddr) but {len(names)} names (host)")
            return ()
        return tuple(name or host for name, (host, _) in zip(names, hosts, strict=False))

    def _port(self, text: str) -> int:
        if not text:
            return DEFAULT_PORT
        if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536:
            return int(text)
        encode = f"; if it is part of a password, {conninfo.ENCODE}" if self.of_address else ""
        problem = f"a port is not a number from 1 to 65535{encode}"
        if problem not in self.problems:
            self.problems.append(problem)
        return DEFAULT_PORT

    def _sslmode(self) -> str:
        mode = self.values.get("sslmode", "").lower() or self._sslmode_of_others()
        if mode == "no-verify":
            self.values.pop("sslrootcert", None)
            mode = "require"
        if self.values.get("sslrootcert") == "system":
            if mode not in ("", "verify-full"):
                self.problems.append("sslrootcert=system needs sslmode=verify-full")
            mode = "verify-full"
        if mode == "verify-full" and "hostaddr" in self.values:
            self.problems.append("hostaddr cannot be combined with sslmode=verify-full; use host")
        if self.values.get("channel_binding", "").lower() == "require":
            mode = self._bound(mode)
        return mode or "prefer"

    def _sslmode_of_others(self) -> str:
        """What drivers with their own words for it ask for: `ssl=` (asyncpg, pg), `sslaccept=` (Prisma)."""
        ssl = self.values.get("ssl", "").lower()
        if accept := self.values.get("sslaccept", "").lower():
            return "verify-full" if accept == "strict" else "no-verify"
        return {"true": "require", "false": "disable"}.get(ssl, ssl)

    def _bound(self, mode: str) -> str:
        """Channel binding is out of the driver's reach; what stays of the wish is that TLS is used."""
        if mode == "disable":
            self.problems.append("channel_binding=require contradicts sslmode=disable")
        self.notes.append("channel_binding=require is kept as far as TLS: the driver cannot bind channels")
        return mode if mode.startswith("verify") else "require"

    def _connect_timeout(self) -> float | None:
        text = self.values.get("connect_timeout", "0").strip()
        if not re.fullmatch(r"(?a)-?\d+", text):
            self.problems.append("connect_timeout must be a whole number of seconds")
            return None
        seconds = int(text[:9])
        return float(seconds) if seconds > 0 else None

    def _read_options(self) -> None:
        """Take `-c name=value` apart; what else the server's command line takes is sent as it is."""
        rest = []
        words = iter(_words(self.values.get("options", "")))
        for word in words:
            pair = next(words, "") if word == "-c" else word[2:] if word[:2] in ("-c", "--") else None
            name, equals, value = (pair or "").partition("=")
            if pair is None or name == "cluster":  # CockroachDB reads --cluster from the options alone
                rest.append(word.replace("\\", "\\\\").replace(" ", "\\ "))
            elif equals:
                self._set(name.replace("-", "_"), value)
            else:
                self.problems.append("options holds a -c without name=value")
        if rest:
            self.settings["options"] = " ".join(rest)

    def _set(self, name: str, value: str) -> None:
        if why := known.OVERRIDDEN.get(name.lower()):
            self.notes.append(f"{name} is ignored: {why}")
        else:
            self.settings[name] = value


def _host_and_port(text: str) -> tuple[str, str]:
    """`host:port` as drivers other than libpq take it from `?host=`; an IPv6 address stays whole."""
    host, colon, port = text.strip().rpartition(":")
    if colon and ":" not in host and not host.startswith("/") and port.isdigit():
        return host, port
    return text.strip(), ""


def _show_host(host: str, port: int) -> str:
    host = f"[{host}]" if ":" in host and not host.startswith("/") else quote(host, safe="")
    return host if port == DEFAULT_PORT and host.startswith("%2F") else f"{host}:{port}"


def _words(text: str) -> list[str]:
    """Words of *text* as the server splits `options`: at white space; a backslash keeps what follows."""
    words, word, escaped = [], "", False
    for character in text:
        if escaped or not (character.isspace() or character == "\\"):
            word, escaped = word + character, False
        elif character == "\\":
            escaped = True
        elif word:
            words.append(word)
            word = ""
    return [*words, word] if word else words
