"""The example in sql/, as a user gets it: applied by `pgready up`, used, checked, and reverted."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from harness.database import Database, connected
from harness.processes import Pgready, Result
from harness.server import Server

CHECKOUT = Path(__file__).parents[2]
# Some majors' binaries come without pgvector; there the library does without similar titles.
EMBEDDINGS = ("0010_*", "0011_*", "30_similar_titles*")


class Library:
    """A database with the example applied, and the folder that it came from."""

    def __init__(self, database: Database, folder: Path, pgready: Pgready) -> None:
        self.database = database
        self.sql = folder / "sql"
        self.folder = folder
        self._pgready = pgready

    async def up(self) -> Result:
        """Run `pgready up` as in a checkout."""
        environment = {"PGREADY_DATABASE_URL": self.database.url}
        return await self._pgready("up", cwd=self.folder, env=environment)

    async def check(self, name: str) -> list[tuple[object, ...]]:
        """The rows that a check of sql/checks/ complains of."""
        return await self.database.fetch((self.sql / "checks" / f"{name}.sql").read_text())


async def has_pgvector(database: Database) -> bool:
    return bool(await database.fetch("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"))


async def checkout(database: Database, folder: Path) -> Path:
    """A copy of what a user has: sql/ and pgready.toml."""
    has_vector = await has_pgvector(database)
    left_out = None if has_vector else shutil.ignore_patterns(*EMBEDDINGS)
    shutil.copytree(CHECKOUT / "sql", folder / "sql", ignore=left_out)
    declared = (CHECKOUT / "pgready.toml").read_text()
    without = declared.replace('"vector"', '"vector?"')
    (folder / "pgready.toml").write_text(declared if has_vector else without)
    return folder


@pytest.fixture(scope="module")
async def applied(
    anyio_backend: str, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Library]:
    """The example, applied once; nobody connects to it, so that it can be copied."""
    folder = tmp_path_factory.mktemp("example")
    pgready = Pgready(folder / "home")
    async with Database.fresh(server) as database:
        library = Library(database, await checkout(database, folder / "checkout"), pgready)
        try:
            result = await library.up()
            assert result.exit_code == 0, result.stderr
            yield library
        finally:
            pgready.close()
            # Roles belong to the server and would outlive the database.
            await database.execute("DROP OWNED BY media_app, media_readers CASCADE")
    async with connected(server, "postgres") as admin:
        await admin.execute("DROP ROLE media_app, media_readers")


@pytest.fixture
async def library(applied: Library, database: Database, pgready: Pgready) -> Library:
    """A copy of it for one test."""
    async with connected(database.server, "postgres") as admin:
        await admin.execute(f"DROP DATABASE {database.name}")
        await admin.execute(f"CREATE DATABASE {database.name} TEMPLATE {applied.database.name}")
    return Library(database, applied.folder, pgready)


FILM = """
    INSERT INTO media.titles (kind, name, synopsis, original_language, runtime_minutes)
    VALUES ('film', 'Solaris', 'A sea that thinks.', 'ru', 167)
"""
PROFILE = """
    WITH account AS (INSERT INTO media.accounts (email) VALUES ('kris@station.example') RETURNING id)
    INSERT INTO media.profiles (account_id, name) SELECT id, 'Kris' FROM account
"""
SESSIONS = """
    INSERT INTO media.viewing_sessions (profile_id, title_id, started_at, watched_seconds, completed)
    SELECT profiles.id, titles.id, start, 3600, completed
    FROM media.profiles, media.titles, (VALUES
        (timestamptz '2026-11-24 00:00+00', true),
        ('2026-11-24 23:59+00', false),
        ('2026-11-25 00:00+00', true)
    ) AS session (start, completed)
"""


async def test_a_second_start_finds_nothing_to_do(library: Library) -> None:
    before = library.database.dump()
    result = await library.up()

    assert (result.exit_code, library.database.dump()) == (0, before)


async def test_reverting_scripts_leave_nothing_behind(library: Library) -> None:
    await library.database.execute("DROP VIEW media.catalogue, media.title_statistics")
    await library.database.execute("DROP FUNCTION media.roll_up_views(date)")
    await library.database.execute("DROP FUNCTION IF EXISTS media.similar_titles(bigint, text, integer)")
    for script in sorted((library.sql / "migrations").glob("*.down.sql"), reverse=True):
        for statement in script.read_text().rstrip(";\n").split(";\n"):
            await library.database.execute(statement)
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'media'::regnamespace"

    assert await library.database.fetch(left) == []


def test_every_migration_can_be_reverted() -> None:
    files = {path.name for path in (CHECKOUT / "sql" / "migrations").iterdir()}
    applying = {name for name in files if not name.endswith(".down.sql")}

    assert {name.replace(".sql", ".down.sql") for name in applying} == files - applying


@pytest.mark.parametrize(
    ("statement", "violated"),
    [
        (
            "INSERT INTO media.seasons (title_id, number) SELECT id, 1 FROM media.titles",
            "seasons_title_fkey",
        ),
        ("UPDATE media.titles SET kind = 'series'", "titles_only_films_have_a_runtime"),
        ("UPDATE media.titles SET original_language = 'Russian'", "language_tag_is_bcp47"),
        (
            "INSERT INTO media.accounts (email) VALUES ('a@b.example'), ('A@b.example')",
            "accounts_email_key",
        ),
    ],
)
async def test_the_schema_refuses_what_makes_no_sense(
    library: Library, statement: str, violated: str
) -> None:
    await library.database.execute(FILM)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await library.database.execute(statement)

    assert refused.value.constraint_name == violated


async def test_an_update_by_hand_moves_updated_at(library: Library) -> None:
    await library.database.execute(FILM)
    await library.database.execute("UPDATE media.titles SET synopsis = 'An ocean that thinks.'")

    assert await library.database.value("SELECT updated_at > created_at FROM media.titles")


@pytest.mark.parametrize(
    "condition", ["search @@ websearch_to_tsquery('simple', 'sea thinks')", "'solarsi' <% name"]
)
async def test_a_title_is_found_by_its_words_and_by_a_misspelt_name(library: Library, condition: str) -> None:
    await library.database.execute(FILM)

    assert await library.database.fetch(f"SELECT name FROM media.titles WHERE {condition}") == [("Solaris",)]


async def test_counting_a_day_again_changes_nothing(library: Library) -> None:
    for statement in (FILM, PROFILE, SESSIONS):
        await library.database.execute(statement)
    for _ in range(2):
        await library.database.execute("SELECT media.roll_up_views('2026-11-24')")
    counted = "SELECT day::text, sessions, profiles, completed, watched_seconds FROM media.title_days"

    assert await library.database.fetch(counted) == [("2026-11-24", 2, 1, 1, 7200)]


async def test_months_begin_at_midnight_utc_wherever_they_are_added(library: Library) -> None:
    added = "SET timezone = 'Pacific/Auckland'; SELECT media.add_viewing_month('2027-02-14')"
    await library.database.execute(added)
    partition = "media.viewing_sessions_2027_02"
    bounds = await library.database.value(
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = $1::text::regclass", partition
    )

    assert "'2027-02-01 00:00:00+00'" in bounds


async def test_nearest_titles_come_first(library: Library) -> None:
    if not await has_pgvector(library.database):
        pytest.skip("this server has no pgvector")
    await library.database.execute(FILM)
    await library.database.execute(FILM.replace("Solaris", "Stalker"))
    await library.database.execute(FILM.replace("Solaris", "Mirror"))
    await library.database.execute("""
        INSERT INTO media.title_embeddings (title_id, model, embedding)
        SELECT id, 'test', array_fill(1, ARRAY[383])::real[] || angle
        FROM media.titles JOIN (VALUES ('Solaris', 0), ('Stalker', 9), ('Mirror', 3)) AS vectors (name, angle)
        USING (name)
    """)
    similar = await library.database.fetch("""
        SELECT other.name
        FROM media.titles AS this
        CROSS JOIN media.similar_titles(this.id, 'test') WITH ORDINALITY AS near
        JOIN media.titles AS other ON other.id = near.similar_id
        WHERE this.name = 'Solaris' ORDER BY near.ordinality
    """)

    assert similar == [("Mirror",), ("Stalker",)]


@pytest.mark.parametrize(("role", "may_write"), [("media_app", True), ("media_readers", False)])
async def test_roles_may_do_what_was_declared_before_the_tables_were(
    library: Library, role: str, may_write: bool
) -> None:
    rights = """
        SELECT bool_and(has_table_privilege($1, oid, 'SELECT')),
               bool_or(has_table_privilege($1, oid, 'DELETE'))
        FROM pg_class WHERE relnamespace = 'media'::regnamespace AND relkind IN ('r', 'p')
    """

    assert await library.database.fetch(rights, role) == [(True, may_write)]


@pytest.mark.parametrize(
    ("check", "breakage"),
    [
        (
            "constraints_are_validated",
            "ALTER TABLE media.people ADD CONSTRAINT born CHECK (born_on > '1800-01-01') NOT VALID",
        ),
        ("foreign_keys_have_indexes", "DROP INDEX media.credits_person_id_idx"),
        (
            "indexes_are_valid",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'media.titles_search_idx'::regclass",
        ),
    ],
)
async def test_a_check_finds_what_it_looks_for(library: Library, check: str, breakage: str) -> None:
    await library.database.execute(breakage)

    assert len(await library.check(check)) == 1
