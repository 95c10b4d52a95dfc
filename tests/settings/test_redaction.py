"""No output holds any piece of a password, however it was written (DESIGN 8, promise 6)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgready.commands.config import render as render_config
from pgready.core.errors import SettingsError, render
from pgready.settings import load

PIECE = 3

_SPECIAL = "@:/?#[]%&=+ '\"\\,;$!*"
_LETTERS = "QXZJÜ"
"""In no message, so that a piece which is found is the password's and not a word's. No digits:
`postgres://user:777`, cut off before its host, is an address, of the host `user` and the port 777."""

passwords = st.text(st.sampled_from(_LETTERS + _SPECIAL), min_size=PIECE, max_size=24)


def keyword(password: str) -> str:
    return "'" + password.replace("\\", "\\\\").replace("'", "\\'") + "'"


def encode(password: str) -> str:
    return quote(password, safe="")


FORMS: dict[str, Callable[[str], str]] = {
    "raw in a URL": lambda p: f"postgres://user:{p}@host:5432/name?sslmode=require",
    "encoded in a URL": lambda p: f"postgresql+asyncpg://user:{encode(p)}@host/name",
    "raw without a user": lambda p: f"postgres://:{p}@host/name",
    "raw, quoted": lambda p: f'"postgres://user:{p}@host/name"',
    "raw, several hosts": lambda p: f"postgres://user:{p}@host,[::1]:7/name",
    "raw without a host": lambda p: f"postgres://user:{p.replace('@', ':')}",
    "raw without a host, with a parameter": lambda p: f"postgres://user:{p.replace('@', '')}?sslmode=require",
    "raw without a scheme": lambda p: f"user:{p}@host/name",
    "raw with a bad scheme": lambda p: f"{p}://user@host/name",
    "raw with a bad port": lambda p: f"postgres://user:{p}@host:99999/name",
    "raw with an unknown parameter": lambda p: f"postgres://user:{p}@host/name?zebra=1",
    "raw in the query": lambda p: f"postgres://user@host/name?password={p}",
    "raw in the query, first": lambda p: f"postgres://user@host/name?password={p}&sslmode=require",
    "encoded in the query": lambda p: f"postgres://host/name?user=user&password={encode(p)}&zebra=1",
    "raw as a keyword": lambda p: f"host=host user=user password={p} dbname=name",
    "raw as the last keyword": lambda p: f"host=host user=user password={p}",
    "quoted as a keyword": lambda p: f"host=host password={keyword(p)} user=user",
    "quoted with an unknown keyword": lambda p: f"host=host password={keyword(p)} zebra=1",
    "badly quoted as a keyword": lambda p: f"host=host user=user password='{p}' dbname=name",
    "by itself": lambda p: p,
    "as a key passphrase": lambda p: f"postgres://user@host/name?sslpassword={p}",
}

VARIABLES = ("DATABASE_URL", "PGREADY_DATABASE_URL", "PGREADY_ADMIN_DATABASE_URL", "DATABASE_URL_FILE")


def outputs(environ: dict[str, str], files: dict[str, str]) -> list[str]:
    """Everything that a person could see of these settings."""
    try:
        found = load({}, environ, files.get)
    except SettingsError as error:
        seen: list[BaseException] = [error]
        while (context := seen[-1].__cause__ or seen[-1].__context__) is not None:
            seen.append(context)
        return [render(error), *(text for each in seen for text in (str(each), repr(each)))]
    masked = [dsn.masked for dsn in (found.target, found.admin) if dsn]
    tables = [render_config(found, "table"), render_config(found, "json")]
    return [repr(found), *masked, *tables, *found.notices]


PUBLIC = "\n".join(
    text
    for environ in ({"DATABASE_URL": "postgres://user:hidden@host/name"}, {"DATABASE_URL": "hidden"})
    for text in outputs(environ, {})
)
"""What is shown whatever the password is: names, defaults, JSON's own punctuation."""


def assert_hidden(password: str, environ: dict[str, str], files: dict[str, str] | None = None) -> None:
    pieces = {
        text[i : i + PIECE] for text in (password, encode(password)) for i in range(len(text) - PIECE + 1)
    }
    secret = [piece for piece in pieces if piece not in PUBLIC and set(piece) & set(_LETTERS)]

    for output in outputs(environ, files or {}):
        assert not [piece for piece in secret if piece in output], output


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(password=passwords, variable=st.sampled_from(VARIABLES))
def test_no_output_holds_a_piece_of_a_password_in_an_address(form: str, password: str, variable: str) -> None:
    text = FORMS[form](password)
    if variable.endswith("_FILE"):
        assert_hidden(password, {variable: "/run/secret"}, {"/run/secret": text})
    else:
        assert_hidden(password, {variable: text})


@settings(max_examples=150, deadline=None)
@given(
    password=passwords, name=st.sampled_from(["PGPASSWORD", "POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE"])
)
def test_no_output_holds_a_piece_of_a_password_of_its_own_variable(password: str, name: str) -> None:
    environ = {"PGHOST": "host", "PGUSER": "user", name: password}

    assert_hidden(password, environ)


@settings(max_examples=150, deadline=None)
@given(password=passwords)
def test_no_output_holds_a_piece_of_a_password_of_a_file(password: str) -> None:
    line = password.replace("\\", "\\\\").replace(":", "\\:")
    files = {
        "/passfile": f"*:*:*:*:{line}",
        "/services": f"[mine]\nhost=host\nuser=user\npassword={password}",
        ".env": f"PGPASSWORD={password}",
        "pgready.toml": f"database_url = 'postgres://user:{password}@host/name'",
    }

    assert_hidden(password, {"PGHOST": "host", "PGUSER": "user", "PGPASSFILE": "/passfile"}, files)
    assert_hidden(password, {"PGSERVICE": "mine", "PGSERVICEFILE": "/services"}, files)
    assert_hidden(password, {}, files)
