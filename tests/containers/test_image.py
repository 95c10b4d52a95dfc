"""The image by itself: what it holds, and as whom it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .compose import docker, run

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

NARROW = ("--read-only", "--cap-drop", "ALL", "--network", "none", "--user", "4321:8765", "--env", "HOME=")


def test_it_runs_under_any_uid_with_nothing_to_write_to(image: str, tmp_path: Path) -> None:
    mount = f"{tmp_path}:/migrations:ro"
    result = run("docker", "run", "--rm", *NARROW, "-v", mount, image, "config", "--output", "json")

    assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr


def test_a_forgotten_mount_is_not_taken_for_nothing_to_do(image: str) -> None:
    database = "PGREADY_DATABASE_URL=postgresql://u:p@localhost/d"
    result = run("docker", "run", "--rm", *NARROW, "--env", database, image)

    assert result.returncode == 2
    assert "/migrations: no such folder" in result.stderr


def test_its_user_is_a_number_that_is_not_root(image: str) -> None:
    assert docker("inspect", "-f", "{{.Config.User}}", image).strip() == "65532:65532"


def test_its_health_check_fails_where_nothing_serves(image: str) -> None:
    result = run("docker", "run", "--rm", *NARROW, image, "healthcheck")

    assert result.returncode == 1


def test_every_module_has_its_bytecode(image: str) -> None:
    command = ("--entrypoint", "python3", image, "-v", "-m", "pgready", "up", "-h")
    lines = run("docker", "run", "--rm", *command).stderr.splitlines()
    origins = [line.rstrip("'") for line in lines if line.startswith("# code object from")]

    assert origins
    assert [origin for origin in origins if origin.endswith(".py")] == []
