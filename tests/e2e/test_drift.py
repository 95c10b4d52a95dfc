"""What exists and differs is told at each start, whatever else there is to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.database import Database
from harness.processes import Pgready

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

DECLARED = """
[[schema]]
name = "public"
owner = "{role}"

[[grant]]
privileges = ["select"]
on = {{ table = "public.later" }}
to = "{role}"

[[role]]
name = "{role}"
password_env = "ITS_PASSWORD"
"""


async def test_drift_in_the_target_is_told_where_a_password_takes_the_servers_bootstrap(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    """A role without rights cannot compare its password in the look, so at every start."""
    role = await database.role("service")
    place = sql_folder({"sql/0001_nothing.sql": "SELECT 1;", "pgready.toml": DECLARED.format(role=role.name)})
    await database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role.name}")
    env = {"PGREADY_DATABASE_URL": role.url, "ITS_PASSWORD": role.password}

    first = await pgready("up", env=env, cwd=place)
    second = await pgready("up", env=env, cwd=place)

    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr
    for result in (first, second):
        assert f", not {role.name}" in result.stderr
        assert "public.later does not exist yet" in result.stderr
