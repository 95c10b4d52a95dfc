"""The Dockerfile says what the code does, and what is copied into the image is what anybody would build."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pgready import __version__
from pgready.settings.catalogue import BY_NAME, CATALOGUE

from .manifests import CHECKOUT

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "app")
SBOM = CHECKOUT / "deploy" / "image" / "sbom.py"


def instruction(name: str) -> list[str]:
    """The arguments of every *name* in the Dockerfile, its continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return re.findall(rf"^{name} (.+)$", joined, flags=re.MULTILINE)


def test_its_port_and_health_check_are_those_of_the_code() -> None:
    assert instruction("EXPOSE") == [BY_NAME["port"].default]
    assert [check.rpartition("CMD ")[2] for check in instruction("HEALTHCHECK")] == [
        '["pgready", "healthcheck"]'
    ]


def test_its_environment_sets_only_what_pgready_reads() -> None:
    names = set(re.findall(r"\b(PGREADY_\w+)=", " ".join(instruction("ENV"))))

    assert names
    assert names <= {setting.variable for setting in CATALOGUE}


def locked(name: str) -> dict[str, str]:
    """The versions in a file of requirements/."""
    lines = (CHECKOUT / "requirements" / name).read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if "==" in line)


def test_the_image_is_built_with_what_the_tests_build_with() -> None:
    assert locked("build.txt").items() <= locked("dev.txt").items()


def test_make_lock_writes_every_lock_that_is_not_a_server() -> None:
    written = set(re.findall(r"-o requirements/([\w.]+)", (CHECKOUT / "Makefile").read_text()))
    there = {path.name for path in (CHECKOUT / "requirements").iterdir()}

    assert written == {name for name in there if not name.startswith("postgres-")}


def test_what_it_copies_is_let_in_by_the_ignore_file() -> None:
    copied = [line.split()[:-1] for line in instruction("COPY") if not line.startswith("--from")]
    allowed = re.findall(r"^!(.+)$", (CHECKOUT / ".dockerignore").read_text(), flags=re.MULTILINE)

    assert {name.rstrip("/") for names in copied for name in names} == set(allowed)


def wheel(checkout: Path) -> Path:
    """Build the wheel of a checkout with the locked back end."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1760000000"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=checkout, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = (checkout / "dist").glob("*.whl")
    return built


def copy_of_the_sources(home: Path, *, mode: int, modified: int) -> Path:
    """The sources as somebody else has them: elsewhere, of another time, with other permissions."""
    home.mkdir()
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, home / name)
    for path in home.rglob("*"):
        path.chmod(mode | 0o111 if path.is_dir() else mode)
        os.utime(path, (modified, modified))
    return home


def test_the_wheel_is_the_same_byte_for_byte_whoever_builds_it(tmp_path: Path) -> None:
    wheels = [
        wheel(copy_of_the_sources(tmp_path / "mine", mode=0o644, modified=1_700_000_000)),
        wheel(copy_of_the_sources(tmp_path / "a-longer-name-of-yours", mode=0o600, modified=1_750_000_000)),
    ]

    assert len({hashlib.sha256(each.read_bytes()).hexdigest() for each in wheels}) == 1


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    built = wheel(copy_of_the_sources(tmp_path / "sources", mode=0o644, modified=1_700_000_000))
    names = {name.split("/")[0] for name in zipfile.ZipFile(built).namelist()}

    assert names == {"pgready", f"pgready-{__version__}.dist-info"}


@pytest.fixture
def bill(tmp_path: Path) -> dict[str, object]:
    """A bill of materials of pgready and one dependency, and of one Debian package."""
    report = {
        "install": [
            {
                "metadata": {"name": "Typing_Extensions", "version": "4.1", "license": "PSF-2.0"},
                "download_info": {
                    "url": "https://index.example/x",
                    "archive_info": {"hashes": {"sha256": "ab"}},
                },
            },
            {
                "metadata": {"name": "pgready", "version": "0.1"},
                "download_info": {"url": "file:///src/x.whl"},
            },
        ]
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "libc6").write_text(
        "Package: libc6\nArchitecture: amd64\nVersion: 2.36-9+deb12u14\n"
    )
    command: list[str | Path] = [
        sys.executable,
        SBOM,
        tmp_path / "report.json",
        "--status",
        tmp_path / "status",
    ]
    written = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    document: dict[str, object] = json.loads(written)
    assert "index.example" not in written
    return document


def test_the_bill_of_materials_names_each_package_as_scanners_do(bill: dict[str, object]) -> None:
    components = {part["purl"]: part for part in bill["components"]}  # type: ignore[attr-defined]

    assert {"pkg:pypi/typing-extensions@4.1", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64"} <= set(
        components
    )
    assert components["pkg:pypi/typing-extensions@4.1"]["hashes"] == [{"alg": "SHA-256", "content": "ab"}]


def test_the_bill_of_materials_is_about_pgready(bill: dict[str, object]) -> None:
    metadata: dict[str, dict[str, str]] = bill["metadata"]  # type: ignore[assignment]

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert metadata["component"]["purl"] == "pkg:pypi/pgready@0.1"
