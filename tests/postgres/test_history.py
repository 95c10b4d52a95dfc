"""A history is believed only where nobody else could have made it run his code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import pgready
from harness.database import Database
from pgready.core.errors import HistoryRefused, PgreadyError

Folder = Callable[[Mapping[str, str | bytes]], Path]

ONE = {"1_a.sql": "CREATE TABLE a (x int);"}
TWO = {**ONE, "2_b.sql": "CREATE TABLE b (x int);"}
DRIZZLE = {
    "meta/_journal.json": '{"version": "7", "dialect": "postgresql", "entries":'
    ' [{"idx": 0, "version": "7", "when": 1700000000000, "tag": "0000_a", "breakpoints": true}]}',
    "0000_a.sql": "CREATE TABLE a (x int);",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        (
            "CREATE TRIGGER t BEFORE INSERT ON pgready.history FOR EACH ROW EXECUTE FUNCTION trap()",
            "has a trigger",
        ),
        ("CREATE RULE r AS ON INSERT TO pgready.history DO ALSO SELECT 1", "has a rule"),
        ("CREATE POLICY p ON pgready.history USING (evil() > 0)", "has a rule or a policy"),
        ("ALTER TABLE pgready.history ALTER COLUMN duration_ms SET DEFAULT evil()", "has a default"),
        ("CREATE TABLE heir () INHERITS (pgready.history)", "takes part in inheritance"),
        ("ALTER TABLE pgready.history OWNER TO mallory", "belongs to mallory"),
        ("ALTER TABLE pgready.journal OWNER TO mallory", "belongs to mallory"),
        ("ALTER SCHEMA pgready OWNER TO mallory", "belongs to mallory"),
        (
            "ALTER TABLE pgready.history RENAME TO real; CREATE VIEW pgready.history AS TABLE pgready.real",
            "is not a plain table",
        ),
    ],
)
async def test_a_planted_history_is_refused_and_nothing_runs(
    planted: str, why: str, database: Database, sql_folder: Folder
) -> None:
    mallory = await database.role("mallory")
    await pgready.migrate(database.url, dir=sql_folder(ONE))
    await database.execute(
        "CREATE FUNCTION evil() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';"
        "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )
    await database.execute(planted.replace("mallory", mallory.name))

    with pytest.raises(HistoryRefused) as refused:
        await pgready.migrate(database.url, dir=sql_folder(TWO))

    assert why.replace("mallory", mallory.name) in refused.value.what
    assert "could run code as postgres" in refused.value.what
    assert await database.value("SELECT to_regclass('b') IS NULL")


async def test_a_history_whose_rule_was_dropped_is_used_again(database: Database, sql_folder: Folder) -> None:
    await pgready.migrate(database.url, dir=sql_folder(ONE))
    await database.execute("CREATE RULE r AS ON INSERT TO pgready.history DO ALSO NOTHING")
    await database.execute("DROP RULE r ON pgready.history")

    status = await pgready.migrate(database.url, dir=sql_folder(TWO))

    assert status.ready


@pytest.mark.parametrize("name", ["history", "journal", "handover"])
async def test_a_history_whose_rows_the_server_hides_is_refused_and_nothing_runs(
    name: str, database: Database, sql_folder: Folder
) -> None:
    mig = await database.role("mig")
    await database.execute(
        f"GRANT CREATE ON DATABASE {database.name} TO {mig.name}; GRANT CREATE ON SCHEMA public TO {mig.name}"
    )
    await pgready.migrate(mig.url, dir=sql_folder(ONE))
    await database.execute(
        f"CREATE TABLE IF NOT EXISTS pgready.{name} (history text);"
        f"ALTER TABLE pgready.{name} OWNER TO {mig.name};"
        f"ALTER TABLE pgready.{name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    )
    (files := sql_folder(TWO)).joinpath("1_a.sql").unlink()

    with pytest.raises(HistoryRefused) as refused:
        await pgready.migrate(mig.url, dir=files)
    with pytest.raises(HistoryRefused):
        await pgready.status(mig.url, dir=files)

    assert f'row level security hides rows of "pgready"."{name}" from {mig.name}' in refused.value.what
    assert f'as {mig.name}: ALTER TABLE "pgready"."{name}" DISABLE ROW LEVEL SECURITY' in (
        refused.value.hint or ""
    )
    assert await database.value("SELECT to_regclass('b') IS NULL")


GOOSE = {"00001_a.sql": "-- +goose Up\nCREATE TABLE a (x int);\n"}


async def test_a_peers_history_whose_rows_are_hidden_from_us_is_refused_by_who_only_looks(
    database: Database, sql_folder: Folder
) -> None:
    owner, app = await database.role("owner"), await database.role("app")
    await database.execute(
        f"ALTER DATABASE {database.name} OWNER TO {owner.name}; GRANT CREATE ON SCHEMA public TO {owner.name}"
    )
    await pgready.migrate(owner.url, dir=sql_folder(GOOSE))
    await database.execute(
        f"ALTER TABLE goose_db_version ENABLE ROW LEVEL SECURITY;GRANT ALL ON goose_db_version TO {app.name}"
    )

    with pytest.raises(HistoryRefused, match="row level security hides rows"):
        await pgready.status(app.url, dir=sql_folder(GOOSE))
    as_owner = await pgready.status(owner.url, dir=sql_folder(GOOSE))

    await database.execute(f"ALTER DATABASE {database.name} OWNER TO postgres")
    assert [each.state for each in as_owner.migrations] == ["applied"]


@pytest.mark.parametrize("forced", [False, True])
async def test_a_view_of_the_history_shows_what_its_owner_sees(
    forced: bool, database: Database, sql_folder: Folder
) -> None:
    mig, app = await database.role("mig"), await database.role("app")
    await database.execute(
        f"GRANT CREATE ON DATABASE {database.name} TO {mig.name}; GRANT CREATE ON SCHEMA public TO {mig.name}"
    )
    await pgready.migrate(mig.url, dir=sql_folder(ONE))
    await database.execute("ALTER TABLE pgready.history ENABLE ROW LEVEL SECURITY")

    if forced:
        await database.execute("ALTER TABLE pgready.history FORCE ROW LEVEL SECURITY")
        with pytest.raises(HistoryRefused, match="row level security hides rows"):
            await pgready.status(app.url, dir=sql_folder(ONE))
    else:
        status = await pgready.status(app.url, dir=sql_folder(ONE))
        assert [each.state for each in status.migrations] == ["applied"]


@pytest.mark.parametrize("files", [ONE, DRIZZLE], ids=["native", "drizzle"])
@pytest.mark.parametrize("with_a_table", [False, True])
async def test_a_schema_that_another_role_made_beforehand_is_refused(
    with_a_table: bool, files: Mapping[str, str], database: Database, sql_folder: Folder
) -> None:
    mallory = await database.role("mallory")
    schema, table = ("drizzle", "__drizzle_migrations") if files is DRIZZLE else ("pgready", "history")
    await database.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {mallory.name}")
    if with_a_table:
        await database.execute(f"SET ROLE {mallory.name}; CREATE TABLE {schema}.{table} (version text)")

    with pytest.raises(HistoryRefused) as refused:
        await pgready.migrate(database.url, dir=sql_folder(files))

    assert mallory.name in refused.value.what
    assert await database.value("SELECT to_regclass('a') IS NULL")
    assert await database.value("SELECT count(*) FROM pg_class WHERE relname = 'journal'") == 0


async def test_a_schema_of_a_role_that_may_become_the_migrator_is_trusted(
    database: Database, sql_folder: Folder
) -> None:
    app, admin = await database.role("app"), await database.role("admin")
    await database.execute(
        f"GRANT {app.name} TO {admin.name}; CREATE SCHEMA pgready AUTHORIZATION {admin.name};"
        f"GRANT ALL ON SCHEMA pgready, public TO {app.name};"
        f"GRANT CREATE ON DATABASE {database.name} TO {app.name}"
    )

    status = await pgready.migrate(app.url, dir=sql_folder(ONE))

    assert status.ready


@pytest.mark.parametrize("owner", ["group", "database"])
async def test_a_history_of_its_group_or_of_the_database_s_owner_is_trusted(
    owner: str, database: Database, sql_folder: Folder
) -> None:
    other, app = await database.role("other"), await database.role("app")
    if owner == "group":
        await database.execute(f"GRANT {other.name} TO {app.name}")
    else:
        await database.execute(f"ALTER DATABASE {database.name} OWNER TO {other.name}")
    await database.execute(
        f"GRANT CREATE ON DATABASE {database.name} TO {other.name};"
        f"GRANT CREATE ON SCHEMA public TO {other.name}, {app.name}"
    )
    await pgready.migrate(other.url, dir=sql_folder(ONE))
    await database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA pgready TO {app.name}")

    status = await pgready.migrate(app.url, dir=sql_folder(TWO))

    await database.execute(f"ALTER DATABASE {database.name} OWNER TO postgres")
    assert status.ready
    assert await database.fetch("SELECT tableowner::text FROM pg_tables WHERE tablename = 'b'") == [
        (app.name,)
    ]


async def test_temporary_tables_of_the_same_names_catch_no_row(
    database: Database, sql_folder: Folder
) -> None:
    text = "CREATE TEMP TABLE history (version text); CREATE TEMP TABLE journal (version text);"
    parts = f"{text}\nSET search_path = pg_temp;\nBEGIN; SELECT 1; COMMIT;\nBEGIN; SELECT 2; COMMIT;\n"

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text, "2_b.sql": parts}))

    assert await database.fetch("SELECT version, segments FROM pgready.history ORDER BY 1") == [
        ("1", 1),
        ("2", 3),
    ]
    assert await database.value("SELECT count(*) FROM pgready.journal") == 0


async def test_names_in_a_search_path_that_another_role_set_catch_nothing(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE SCHEMA trap;"
        "CREATE FUNCTION trap.spring() RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;"
        "CREATE FUNCTION trap.texteq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT trap.spring()';"
        "CREATE OPERATOR trap.= (FUNCTION = trap.texteq, LEFTARG = text, RIGHTARG = text);"
        "CREATE FUNCTION trap.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        " AS $$ SELECT NULL::timestamptz WHERE trap.spring() $$;"
        f"ALTER DATABASE {database.name} SET search_path = trap, pg_catalog, public"
    )
    parts = "CREATE TABLE public.b (x int);\nCREATE INDEX CONCURRENTLY b_x ON public.b (x);\nSELECT 1;"

    status = await pgready.migrate(
        database.url, dir=sql_folder({"1_a.sql": "CREATE TABLE public.a (x int);", "2_b.sql": parts})
    )

    assert status.ready
    assert status.applied_this_run == 2


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "12026-01-01"])
async def test_a_moment_that_no_calendar_has_is_none(
    moment: str, database: Database, sql_folder: Folder
) -> None:
    await pgready.migrate(database.url, dir=sql_folder(ONE))
    await database.execute(f"UPDATE pgready.history SET applied_at = '{moment}'")

    result = await pgready.migrate(database.url, dir=sql_folder(TWO))
    status = await pgready.status(database.url, dir=sql_folder(TWO))

    assert result.applied_this_run == 1
    assert [(each.state, each.applied_at is None) for each in status.migrations] == [
        ("applied", True), ("applied", False)
    ]  # fmt: skip


async def test_a_schema_that_is_missing_is_told_with_its_cure(database: Database, sql_folder: Folder) -> None:
    folder = sql_folder({"00001_a.sql": "-- +goose Up\nCREATE TABLE a (x int);\n"})

    with pytest.raises(PgreadyError, match='schema "ops" does not exist') as failure:
        await pgready.migrate(database.url, dir=folder, history_table="ops.goose_db_version")

    assert failure.value.hint == "create it, or declare it in pgready.toml ([[schema]]); then: pgready up"
