"""Connection text → parameters under libpq's names. Two forms: URLs and `host=… dbname=…` keywords.

No message quotes the text: in a URL that is broken, any part of it may be a part of the password. Rules:

1. A URL's authority ends at its first `/`, `?` or `#`; its last `@` ends the user info, so `@` and `:`
   may stand unencoded in a password.
2. An `@` or `#` after that is refused: only so can a raw `/`, `?` or `#` in a password be noticed.
3. The name of an unknown parameter is shown only where it cannot be the tail of a password.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from msgspec import Struct

from pgready.core.dsn_parameters import MEANT
from pgready.core.errors import SettingsError

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEME = re.compile(r"(postgres|postgresql|postgis|pgsql|psql|cockroachdb)(\+[a-z0-9_]+)?")
_KEYWORDS = re.compile(r"\s*[A-Za-z_]\w*\s*=")
# Compiled where they are used: most connection text is a URL.
_PAIR = (
    r"(?s)\s*(?P<name>[A-Za-z_][\w.]*)\s*=\s*"
    r"(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<bare>(?!')(?:\\.|[^\s\\])*))(?:\s+|$)"
)
_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[^:]*))?")
_ESCAPED = r"(?s)\\(.)"

_LISTS = ("host", "port")  # SQLAlchemy writes several hosts as ?host=a&host=b
_OTHER_DATABASES = (
    "mysql",
    "mariadb",
    "sqlite",
    "mongodb",
    "redis",
    "mssql",
    "oracle",
    "http",
    "https",
    "prisma",
)
ENCODE = "percent-encode / ? # and @ in the user and the password (%2F %3F %23 %40)"


class DsnError(SettingsError, ValueError):
    """Connection text that cannot be used. No problem line holds any piece of its password."""


class Conninfo(Struct, frozen=True):
    """Parameters by name, as written; *hidden* are those whose names may be a piece of a password.

    *of_address* is for those of one text, where a part may have been taken for another.
    """

    parameters: dict[str, str]
    hidden: frozenset[str] = frozenset()
    of_address: bool = False


def split(text: str) -> Conninfo:
    """Read *text* in either form, also with quotes around it. Raises DsnError."""
    text = _unwrap(text)
    if "\0" in text:
        raise _error("a NUL character cannot be part of it")
    if match := _URL.match(text):
        _check_scheme(match["scheme"].lower())
        return _split_url(text[match.end() :])
    if _KEYWORDS.match(text):
        return _split_keywords(text)
    raise _error("neither a URL (postgresql://user@host:5432/database) nor keywords (host=… dbname=… user=…)")


def is_url(text: str) -> bool:
    """Whether *text* begins as a URL does, of whatever scheme."""
    return _URL.match(_unwrap(text)) is not None


def _unwrap(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'`":
        text = text[1:-1].strip()
    return text


def _check_scheme(scheme: str) -> None:
    if _SCHEME.fullmatch(scheme):
        return
    known = next((name for name in _OTHER_DATABASES if re.split(r"[+.]", scheme)[0] == name), None)
    given = known if known else "an unknown scheme"
    raise _error(f"it begins with {given}://, expected postgresql:// or postgres://")


def _split_url(rest: str) -> Conninfo:
    end = re.search(r"[/?#]", rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if "@" in tail:
        raise _error(f"an @ stands after the first / ? or #, so user and host cannot be told apart; {ENCODE}")
    if "#" in tail:
        raise _error(f"a # must be percent-encoded as %23; {ENCODE}")
    user_info, at, hosts = authority.rpartition("@")
    if not at and ":," in f"{authority},":  # user:/… with the rest of a password after it, more likely
        raise _error(f"nothing follows the : of its host; {ENCODE}")
    path, _, query = tail.partition("?")
    user, colon, password = user_info.partition(":")
    written = {
        "user": _decode(user, "user"),
        "dbname": _decode(path[1:], "database"),
        **_split_hosts(hosts),
    }
    parameters = {name: value for name, value in written.items() if value}
    if colon:
        parameters["password"] = _decode(password, "password")
    return _split_query(query, parameters, trusted=bool(at) or ":" not in authority)


def _split_hosts(text: str) -> dict[str, str]:
    hosts, ports = [], []
    for part in text.split(","):
        match = _HOST.fullmatch(part)
        if match is None:
            raise _error(
                "a host cannot be read: write host, host:port or [address]:port"
                f" after user:password@; {ENCODE}"
            )
        hosts.append(_decode(match["address"] or match["host"] or "", "host"))
        ports.append(match["port"] or "")
    return {name: ",".join(items) for name, items in (("host", hosts), ("port", ports)) if any(items)}


def _split_query(query: str, parameters: dict[str, str], *, trusted: bool) -> Conninfo:
    """Add the parameters of *query*; they win over the URL's own parts (as in libpq: `?host=/dir`)."""
    seen: dict[str, str] = {}
    hidden = set()
    for pair in query.split("&") if query else ():
        if not pair:
            continue
        name, equals, value = pair.partition("=")
        if not equals:
            raise _error("something after the ? has no =; write name=value, joined by &")
        name = _decode(name, "parameter's name")
        value = _decode(value, "parameter's value")
        if name in seen and name not in _LISTS:
            raise _error("a parameter is there twice")
        if not trusted or "password" in seen or "sslpassword" in seen:
            hidden.add(name)
        seen[name] = f"{seen[name]},{value}" if name in seen else value
    return Conninfo({**parameters, **seen}, frozenset(hidden), of_address=True)


def _split_keywords(text: str) -> Conninfo:
    parameters: dict[str, str] = {}
    hidden = set()
    position = 0
    pair = re.compile(_PAIR)
    while position < len(text):
        match = pair.match(text, position)
        if match is None:
            raise _error(
                "not name=value throughout; a value with spaces or quotes is written 'like this',"
                " with \\' and \\\\ inside"
            )
        name, quoted, bare = match["name"], match["quoted"], match["bare"]
        if name in parameters:
            raise _error("a parameter is there twice; a value with spaces must be quoted")
        if "password" in parameters or "sslpassword" in parameters:
            hidden.add(name)
        parameters[name] = re.sub(_ESCAPED, r"\1", bare if quoted is None else quoted)
        position = match.end()
    if not parameters.keys() & MEANT:  # a password by itself may end in = (base64)
        hidden.update(parameters)
    return Conninfo(parameters, frozenset(hidden), of_address=True)


def _decode(text: str, what: str) -> str:
    """Percent-decode. A `%` that starts no escape stands for itself."""
    if "%" not in text:
        return text
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        decoded = "\0"  # raised below, where no exception with the text in it is being handled
    if "\0" in decoded:
        raise _error(f"the {what} is not UTF-8 text when percent-decoded; write % itself as %25")
    return decoded


def _error(problem: str) -> DsnError:
    return DsnError((problem,))
