"""The built wheel holds what an installed pgready needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_and_template_is_in_the_wheel(files: set[str]) -> None:
    package = CHECKOUT / "app" / "pgready"
    ours = {
        f"pgready/{path.relative_to(package)}"
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }

    assert ours - files == set()


def test_the_wheel_claims_one_name_for_import(files: set[str]) -> None:
    assert {name.split("/")[0] for name in files if ".dist-info" not in name} == {"pgready"}
