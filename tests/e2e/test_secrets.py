"""No command shows a piece of a password, whichever way it was given (DESIGN 8, promise 6)."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import anyio
import httpx
import pytest

from harness.database import Database
from harness.processes import Pgready

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]
Form = Callable[[Database, str, Path], Mapping[str, str]]

PIECE = 3
PASSWORDS_A_FORM = 12
AT_ONCE = 3
# Letters that no message holds in a row (a time ends in Z, behind digits as in `%25`), so that a piece
# that is found is the password's.
_LETTERS = "QXYJWK"
_SPECIAL = "@:/?#[%"


def passwords(form: str) -> list[str]:
    """Passwords for *form*, the same in each run."""
    chosen = random.Random(form)
    return ["".join(chosen.choices(_LETTERS + _SPECIAL, k=12)) + "@:/?#[%" for _ in range(PASSWORDS_A_FORM)]


def pieces(password: str) -> set[str]:
    """Every three characters of it in a row, raw and as a URL holds them, that are no punctuation alone."""
    texts = (password, quote(password, safe=""))
    found = {text[at : at + PIECE] for text in texts for at in range(len(text) - PIECE + 1)}
    return {piece for piece in found if set(piece) & set(_LETTERS)}


def _file(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def _address(database: Database, password: str) -> str:
    server = database.server
    return f"postgresql://postgres:{password}@{server.host}:{server.port}/{database.name}"


def _libpq(database: Database) -> dict[str, str]:
    server = database.server
    return {
        "PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": "postgres", "PGDATABASE": database.name,
    }  # fmt: skip


def _family(database: Database) -> dict[str, str]:
    server = database.server
    return {
        "DB_HOST": server.host, "DB_PORT": str(server.port), "POSTGRES_USER": "postgres",
        "POSTGRES_DB": database.name,
    }  # fmt: skip


def _keywords(database: Database, password: str) -> str:
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    server = database.server
    return f"host={server.host} port={server.port} user=postgres dbname={database.name} password='{quoted}'"


def _pgpass(password: str) -> str:
    return "*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:")


FORMS: dict[str, Form] = {
    "DATABASE_URL, encoded": lambda d, p, _: {"DATABASE_URL": _address(d, quote(p, safe=""))},
    "PGREADY_DATABASE_URL, as it is": lambda d, p, _: {"PGREADY_DATABASE_URL": _address(d, p)},
    "DATABASE_URL_FILE": lambda d, p, at: {
        "DATABASE_URL_FILE": _file(at / "url", _address(d, quote(p, safe="")) + "\n")
    },
    "DATABASE_URL, in the query": lambda d, p, _: {
        "DATABASE_URL": f"postgresql://{d.server.host}:{d.server.port}/{d.name}?user=postgres"
        f"&password={quote(p, safe='')}"
    },
    "DATABASE_URL, keywords": lambda d, p, _: {"DATABASE_URL": _keywords(d, p)},
    "PGPASSWORD": lambda d, p, _: {**_libpq(d), "PGPASSWORD": p},
    "PGPASSFILE": lambda d, p, at: {**_libpq(d), "PGPASSFILE": _file(at / "pgpass", _pgpass(p))},
    "POSTGRES_PASSWORD": lambda d, p, _: {**_family(d), "POSTGRES_PASSWORD": p},
    "POSTGRES_PASSWORD_FILE": lambda d, p, at: {
        **_family(d), "POSTGRES_PASSWORD_FILE": _file(at / "password", p),
    },
}  # fmt: skip


REFUSED = frozenset({"PGREADY_DATABASE_URL, as it is"})
"""Where a password with an @ behind a / is not escaped, nobody can tell where the host begins."""


@pytest.fixture
def folder(sql_folder: SqlFolder) -> Path:
    return sql_folder({"0001_a.sql": "SELECT 1;"})


async def tried(
    pgready: Pgready, environment: Mapping[str, str], folder: Path
) -> tuple[list[int], list[str]]:
    """The exit codes and all the words of each command that meets the password."""
    codes, words = [], []
    for arguments in (("up", "--output", "json"), ("status", "--log-format", "console"), ("config",)):
        result = await pgready(*arguments, "--dir", folder, "--log-level", "debug", env=environment)
        codes.append(result.exit_code)
        words += [result.stdout, result.stderr]
    return codes, words


@pytest.mark.parametrize("form", FORMS)
async def test_no_command_shows_a_piece_of_a_wrong_password(
    form: str, database: Database, pgready: Pgready, folder: Path, tmp_path: Path
) -> None:
    found: dict[str, list[str]] = {}
    codes: set[tuple[int, ...]] = set()
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(number: int, password: str) -> None:
        async with limiter:
            place = tmp_path / str(number)
            place.mkdir()
            ended, words = await tried(pgready, FORMS[form](database, password, place), folder)
        codes.add(tuple(ended))
        shown = "\n".join(words).replace(str(tmp_path), "")
        found[password] = [piece for piece in pieces(password) if piece in shown]

    async with anyio.create_task_group() as group:
        for number, password in enumerate(passwords(form)):
            group.start_soon(one, number, password)

    assert codes == {(2, 2, 2) if form in REFUSED else (4, 4, 0)}
    assert len(found) == PASSWORDS_A_FORM
    assert {password: shown for password, shown in found.items() if shown} == {}


def test_there_are_a_hundred_passwords_with_all_that_a_url_minds() -> None:
    everything = [password for form in FORMS for password in passwords(form)]

    assert len(set(everything)) >= 100
    assert all(set(_SPECIAL) <= set(password) for password in everything)


@pytest.mark.parametrize("form", sorted(FORMS.keys() - REFUSED))
async def test_no_answer_of_a_daemon_shows_a_piece_of_a_wrong_password(
    form: str, database: Database, pgready: Pgready, folder: Path, tmp_path: Path
) -> None:
    password = passwords(form)[0]
    environment = FORMS[form](database, password, tmp_path)
    daemon = pgready.start("serve", "--dir", folder, "--port", "0", "--log-level", "debug", env=environment)
    await daemon.until(lambda: daemon.stderr.count("run.failed") > 1, "a second try")
    listening = re.search(r"listening on (http://[^ \"]+)", daemon.stderr)
    assert listening is not None

    async with httpx.AsyncClient(base_url=listening[1]) as client:
        answers = [
            await client.get(path, headers={"Accept": accept})
            for path in ("/ready", "/ready?verbose", "/migrations", "/startup", "/live", "/nowhere")
            for accept in ("application/json", "text/plain", "text/html")
        ]

    words = [daemon.stdout, daemon.stderr, *(f"{answer.headers}{answer.text}" for answer in answers)]
    assert answers[0].status_code == 503
    assert "28P01" in answers[0].text
    assert [piece for piece in pieces(password) if piece in "\n".join(words).replace(str(tmp_path), "")] == []


@pytest.mark.parametrize("command", ["up", "status", "plan", "wait", "repair"])
async def test_a_wrong_password_ends_every_command_at_once(
    command: str, database: Database, pgready: Pgready, folder: Path
) -> None:
    environment = {"DATABASE_URL": database.server.url(database.name, password="QXZ"), "HOSTNAME": "pod-1"}
    arguments = (command, "0001") if command == "repair" else (command,)

    result = await pgready(*arguments, "--dir", folder, env=environment)

    lines = [json.loads(line) for line in result.stderr.splitlines()]
    (failed,) = [line for line in lines if line["event"] == "run.failed"]
    assert result.exit_code == 4
    assert (failed["exit_code"], failed["sqlstate"]) == (4, "28P01")
    assert len([line for line in lines if line["event"] == "connect.failed"]) == 1
    assert "pg_hba.conf" in failed["hint"]


@pytest.mark.parametrize(
    "script",
    [
        "CREATE ROLE appx LOGIN PASSWORD 'hunter2secret' BOGUS;",
        "CREATE ROLE postgres LOGIN PASSWORD 'hunter2secret';",
        "CREATE ROLE appx LOGIN\n  PASSWORD 'hunter2secret\nSELECT 1;",
        "CREATE ROLE appx LOGIN PASSWORD hunter2secret;",
        "DO $$ BEGIN EXECUTE 'CREATE ROLE appx PASSWORD ''hunter2secret'' BOGUS'; END $$;",
    ],
)
async def test_a_password_in_a_script_that_fails_is_shown_nowhere(
    script: str, database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder, told = sql_folder({"0001_a.sql": script}), tmp_path / "termination-log"
    environment = {"DATABASE_URL": database.url, "PGREADY_TERMINATION_LOG": str(told)}
    plan = await pgready("plan", "--dir", folder, "--log-format", "console", env=environment)
    up = await pgready("up", "--dir", folder, "--log-format", "console", "--output", "json", env=environment)
    daemon = pgready.start("serve", "--dir", folder, "--port", "0", "--show-sql", "true", env=environment)
    await daemon.wait_for("run.failed")
    listening = re.search(r"listening on (http://[^ \"]+)", daemon.stderr)
    assert listening is not None

    async with httpx.AsyncClient(base_url=listening[1]) as client:
        answers = [
            (await client.get(path, headers={"Accept": accept})).text
            for path in ("/ready", "/ready?verbose", "/migrations", "/migrations/0001")
            for accept in ("application/json", "text/plain", "text/html")
        ]
        async with client.stream("GET", "/events") as events:
            answers.append(await anext(part async for part in events.aiter_text() if "failed" in part))

    words = [plan.stdout, plan.stderr, up.stdout, up.stderr, daemon.stderr, told.read_text(), *answers]
    assert up.exit_code == 1 and "***" in up.stderr and "***" in told.read_text()
    assert [word for word in words if "hunter2" in word] == []
