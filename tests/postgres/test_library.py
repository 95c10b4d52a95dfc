"""pgready as a library: migrate, status, and the lifespan of an application, on a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import pgready
from harness.database import Database
from harness.processes import Pgready
from harness.server import Server
from pgready.core import events
from pgready.core.errors import AccessDenied, Diverged, ExitCode, MigrationFailed, SettingsError, Unreachable

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

GUIDE = Path(__file__).parents[2] / "docs" / "library.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
TWO = {"0001_a.sql": "CREATE TABLE a (id integer);", "0002_b.sql": "CREATE TABLE b (id integer);"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine."""
    for name in ("DATABASE_URL", "PGREADY_DATABASE_URL", "PGHOST", "PGREADY_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


async def test_migrate_applies_and_tells_what_it_did(database: Database, sql_folder: SqlFolder) -> None:
    folder = sql_folder(TWO)
    told: list[events.Event] = []

    first = await pgready.migrate(database.url, dir=folder, on_event=told.append)
    again = await pgready.migrate(database.url, dir=str(folder))

    assert (first.ready, first.counts.applied, first.applied_this_run) == (True, 2, 2)
    assert (again.ready, again.counts.applied, again.applied_this_run) == (True, 2, 0)
    assert [each.version for each in told if isinstance(each, events.MigrationApplied)] == ["0001", "0002"]
    assert await database.value("SELECT count(*) FROM pgready.history") == 2


async def test_migrate_takes_settings_from_the_environment(
    database: Database, sql_folder: SqlFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("PGREADY_DIR", str(sql_folder(TWO)))

    status = await pgready.migrate(lock_timeout="5s")

    assert status.counts.applied == 2


async def test_many_callers_at_once_apply_each_migration_once(
    database: Database, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    applied: list[int] = []

    async def one() -> None:
        status = await pgready.migrate(database.url, dir=folder)
        applied.append(status.applied_this_run)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(one)

    assert sum(applied) == 2
    assert len(applied) == 5


async def test_status_looks_and_changes_nothing(database: Database, sql_folder: SqlFolder) -> None:
    before = database.dump()

    status = await pgready.status(database.url, dir=sql_folder(TWO))

    assert [each.state for each in status.migrations] == ["pending", "pending"]
    assert (status.ready, status.reason) == (False, "2 pending")
    assert database.dump() == before


async def test_the_status_of_a_database_that_is_not_there_is_that_all_is_pending(
    server: Server, sql_folder: SqlFolder
) -> None:
    status = await pgready.status(server.url("never_made"), dir=sql_folder(TWO))

    assert [each.state for each in status.migrations] == ["pending", "pending"]
    assert "never_made does not exist" in status.warnings[0]


async def test_the_status_of_a_target_as_the_folder_wants_it_is_ready(
    database: Database, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    await pgready.migrate(database.url, dir=folder)

    status = await pgready.status(database.url, dir=folder)

    assert (status.ready, status.phase, status.reason) == (True, "ready", None)


@pytest.mark.parametrize(
    ("files", "url", "settings", "kind", "code"),
    [
        ({"0001_a.sql": "SELECT 1 / 0;"}, None, {}, MigrationFailed, ExitCode.FAILED),
        (TWO, "postgresql://u:p@127.0.0.1:1/x", {"connect_timeout": "0"}, Unreachable, ExitCode.UNREACHABLE),
        (TWO, None, {"lock_timeout": "soon"}, SettingsError, ExitCode.USAGE),
    ],
)
async def test_what_goes_wrong_is_one_sort_of_exception(
    files: dict[str, str], url: str | None, settings: dict[str, Any], kind: type[Exception], code: ExitCode,
    database: Database, sql_folder: SqlFolder,
) -> None:  # fmt: skip
    with pytest.raises(pgready.PgreadyError) as raised:
        await pgready.migrate(url or database.url, dir=sql_folder(files), **settings)

    assert isinstance(raised.value, kind)
    assert raised.value.exit_code is code
    assert await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_a_changed_file_and_a_wrong_password_have_classes_of_their_own(
    database: Database, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    await pgready.migrate(database.url, dir=folder)
    (folder / "0001_a.sql").write_text("CREATE TABLE a (id bigint);")

    with pytest.raises(Diverged):
        await pgready.migrate(database.url, dir=folder)
    with pytest.raises(AccessDenied):
        await pgready.migrate(database.server.url(database.name, password="wrong"), dir=folder)


async def test_a_cancelled_migrate_leaves_nothing(database: Database, sql_folder: SqlFolder) -> None:
    folder = sql_folder({"0001_a.sql": "CREATE TABLE a (id integer); SELECT pg_sleep(60);"})
    begun = anyio.Event()

    def listen(event: events.Event) -> None:
        if isinstance(event, events.MigrationStarted):
            begun.set()

    async def migrate() -> None:
        await pgready.migrate(database.url, dir=folder, on_event=listen)

    async with anyio.create_task_group() as group:
        group.start_soon(migrate)
        with anyio.fail_after(30):
            await begun.wait()
        group.cancel_scope.cancel()

    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgready%'"
    with anyio.fail_after(10):
        while await database.value(f"{ours} AND datname = current_database()"):
            await anyio.sleep(0.05)
    assert await database.value("SELECT to_regclass('a') IS NULL")
    assert await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


# Applications


async def live(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("alive")


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.state.pgready.status.counts.applied} {request.state.greeting}")


ROUTES = [Route("/live", live), Route("/", home)]


@asynccontextmanager
async def own_lifespan(_app: Any) -> Any:
    yield {"greeting": "hello"}


@asynccontextmanager
async def started(app: Starlette) -> Any:
    """A client of *app*, whose lifespan runs meanwhile."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(app=with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield client


async def test_an_application_starts_once_its_database_is_ready(
    database: Database, sql_folder: SqlFolder
) -> None:
    lifespan = pgready.lifespan(database.url, dir=sql_folder(TWO), wrapping=own_lifespan)

    async with started(Starlette(routes=ROUTES, lifespan=lifespan)) as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.text) == (200, "2 hello")


async def test_an_application_does_not_start_where_that_fails(
    database: Database, sql_folder: SqlFolder
) -> None:
    lifespan = pgready.lifespan(database.url, dir=sql_folder({"0001_a.sql": "SELECT 1 / 0;"}))

    with pytest.raises(MigrationFailed):
        async with started(Starlette(routes=ROUTES, lifespan=lifespan)):
            pass


async def test_in_the_background_an_application_answers_503_until_it_is_ready(
    database: Database, sql_folder: SqlFolder
) -> None:
    await database.execute("CREATE TABLE held (id integer)")
    lifespan = pgready.lifespan(
        database.url,
        dir=sql_folder({"0001_a.sql": "LOCK TABLE held;"}),
        background=True,
        wrapping=own_lifespan,
    )
    guard = Middleware(pgready.ReadyMiddleware, exempt=("/live",))
    app = Starlette(routes=ROUTES, lifespan=lifespan, middleware=[guard])
    async with database.connect() as other:
        held = other.transaction()
        await held.start()
        await other.execute("LOCK TABLE held")
        async with started(app) as client:
            alive, before = await client.get("/live"), await client.get("/")
            await held.rollback()
            with anyio.fail_after(30):
                while (after := await client.get("/")).status_code == 503:
                    await anyio.sleep(0.02)

    assert (alive.status_code, before.status_code, after.status_code) == (200, 503, 200)
    assert before.headers["Retry-After"] == "1"
    assert after.text == "1 hello"


# The guide


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
async def test_the_examples_of_the_guide_run(
    number: int, database: Database, sql_folder: SqlFolder, tmp_path: Path, pgready: Pgready
) -> None:
    url = "postgresql://app:secret@localhost/app"
    example = EXAMPLES[number]
    assert url in example
    if "app = Starlette" in example:
        example += "\n\nimport asyncio\n\n\nasync def start() -> None:\n"
        example += (
            "    async with app.router.lifespan_context(app):\n        pass\n\n\nasyncio.run(start())\n"
        )
    program = tmp_path / "example.py"
    program.write_text(example.replace(url, database.url).replace('"sql"', repr(str(sql_folder(TWO)))))

    ended = await anyio.run_process(
        [sys.executable, str(program)], check=False, env=pgready.environment, stderr=subprocess.STDOUT
    )

    assert ended.returncode == 0, ended.stdout.decode()
