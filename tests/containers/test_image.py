"""The image by itself: what it holds and what it does not, its size, and as whom it runs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from .compose import CHECKOUT, docker, inspect, run, wait_until
from .conftest import BASE_IMAGE, build

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

Folder = Callable[[Mapping[str, str | bytes]], Path]

SIZE_LIMIT_BYTES = 60_000_000
NARROW = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none")
USERS = ("65532:65532", "4321:8765")
SHELLS_AND_PACKAGE_MANAGERS = {
    "sh",
    "bash",
    "dash",
    "busybox",
    "perl",
    "apt",
    "apt-get",
    "dpkg",
    "pip",
    "pip3",
}
IMPORT_EVERYTHING = """
import importlib, pathlib, sys, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
own = ((site / "pgready").rglob("*.py"))
names = [".".join(path.relative_to(site).with_suffix("").parts).removesuffix(".__init__") for path in own]
names += [path.stem for path in site.iterdir() if path.suffix in ("", ".py") and path.stem.isidentifier()]
for name in sorted(set(names) - {"pgready.__main__", "__pycache__"}):
    try:
        importlib.import_module(name)
    except Exception as problem:
        print(name, repr(problem))
"""
INSTALLED = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps({each.name.lower().replace("_", "-"): each.version for each in found}))
"""


def python(image: str, program: str) -> str:
    """What a program prints that runs in the image's own interpreter."""
    return docker("run", "--rm", *NARROW, "--entrypoint", "python3", image, "-c", program)


@pytest.fixture(scope="session")
def files(image: str) -> set[str]:
    """Every path in the image."""
    container = docker("create", image).strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            listed = subprocess.run(
                ["tar", "-t"], stdin=export.stdout, capture_output=True, text=True, check=True
            )
    finally:
        docker("rm", container)
    return set(listed.stdout.splitlines())


@pytest.fixture
def container(image: str) -> Iterator[Callable[..., str]]:
    """Call it with a command to start it in a container; removed in the end."""
    started: list[str] = []

    def start(*command: str) -> str:
        started.append(docker("run", "-d", *NARROW, image, *command).strip())
        return started[-1]

    yield start
    for each in started:
        docker("rm", "-f", each)


def test_it_is_small(image: str) -> None:
    command = f"docker save {image} | gzip | wc -c"
    size = int(subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout)

    assert size < SIZE_LIMIT_BYTES, f"{size / 1e6:.1f} MB"


def test_it_has_neither_shell_nor_package_manager(files: set[str]) -> None:
    programs = {Path(name).name for name in files if re.search(r"(^|/)s?bin/[^/]+$", name)}

    assert "pgready" in programs
    assert programs & SHELLS_AND_PACKAGE_MANAGERS == set()


def test_it_holds_no_migrations_that_could_be_applied_by_mistake(files: set[str]) -> None:
    assert [name for name in files if name.startswith("migrations")] == []


@pytest.mark.parametrize("user", USERS)
def test_it_runs_under_any_uid_with_nothing_to_write_to(image: str, tmp_path: Path, user: str) -> None:
    options = ("--user", user, "--env", "HOME=", "-v", f"{tmp_path}:/migrations:ro")
    result = run("docker", "run", "--rm", *NARROW, *options, image, "config", "--output", "json")

    assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr


def test_a_forgotten_mount_is_not_taken_for_nothing_to_do(image: str) -> None:
    database = "PGREADY_DATABASE_URL=postgresql://u:p@localhost/d"
    result = run("docker", "run", "--rm", *NARROW, "--env", database, image)

    assert result.returncode == 2
    assert "/migrations: no such folder" in result.stderr


def test_two_lines_are_a_whole_image_of_ones_own(image: str, sql_folder: Folder) -> None:
    context = sql_folder(
        {
            "Dockerfile": f"FROM {image}\nCOPY migrations /migrations\n",
            "migrations/0001_notes.sql": "CREATE TABLE notes (id bigint);\n",
        }
    )
    docker("build", "-q", "-t", "pgready-test-derived", str(context))
    listed = docker("run", "--rm", *NARROW, "pgready-test-derived", "config", "--files")

    assert "0001_notes.sql" in listed


def test_the_debug_target_lists_what_is_mounted(debug_image: str, sql_folder: Folder) -> None:
    mount = f"{sql_folder({'0001_notes.sql': 'SELECT 1;'})}:/migrations:ro"
    listed = docker(
        "run", "--rm", *NARROW, "-v", mount, "--entrypoint", "sh", debug_image, "-c", "ls /migrations"
    )

    assert listed.split() == ["0001_notes.sql"]


def test_the_debug_target_is_the_image_otherwise(image: str, debug_image: str) -> None:
    configurations = [inspect(name)["Config"] for name in (image, debug_image)]
    for configuration in configurations:
        del configuration["Image"], configuration["Labels"]

    assert configurations[0] == configurations[1]


def test_its_user_is_a_number_that_is_not_root(image: str) -> None:
    assert inspect(image)["Config"]["User"] == "65532:65532"


def test_its_labels_say_what_it_was_built_from(image: str) -> None:
    labels = inspect(image)["Config"]["Labels"]
    prefix = "org.opencontainers.image."

    assert labels[f"{prefix}version"] == "0.1.2-test"
    assert labels[f"{prefix}revision"] == "0123456789abcdef"
    assert labels[f"{prefix}base.name"] == BASE_IMAGE
    assert labels[f"{prefix}licenses"] == "Apache-2.0"


def test_its_base_can_be_pinned_by_its_digest(image: str) -> None:
    digest = inspect(BASE_IMAGE)["Id"]
    pinned = build("pgready-test-pinned", base=digest)

    assert inspect(pinned)["Config"]["Labels"]["org.opencontainers.image.base.name"] == digest
    assert docker("run", "--rm", pinned, "--version") == docker("run", "--rm", image, "--version")


def test_its_health_check_fails_where_nothing_serves(image: str) -> None:
    result = run("docker", "run", "--rm", *NARROW, image, "healthcheck")

    assert result.returncode == 1


@pytest.mark.parametrize("command", ["up", "serve", "wait"])
def test_as_pid_1_it_ends_on_sigterm_while_it_waits_for_a_server(
    container: Callable[..., str], command: str
) -> None:
    started = container(command, "--database-url", "postgresql://u:p@127.0.0.1/d", "--dir", "/usr/share")
    wait_until(lambda: "connect" in run("docker", "logs", started).stderr, "the first try to connect")
    docker("stop", "-t", "5", started)

    assert inspect(started)["State"]["ExitCode"] == 143


def test_every_module_has_its_bytecode(image: str) -> None:
    command = ("--entrypoint", "python3", image, "-v", "-m", "pgready", "up", "-h")
    lines = run("docker", "run", "--rm", *command).stderr.splitlines()
    origins = [line.rstrip("'") for line in lines if line.startswith("# code object from")]

    assert origins
    assert [origin for origin in origins if origin.endswith(".py")] == []


def test_nothing_that_was_left_out_of_python_is_missed(image: str) -> None:
    assert python(image, IMPORT_EVERYTHING) == ""


def test_it_knows_the_authorities_that_the_system_trusts(image: str) -> None:
    count = python(image, "import ssl; print(ssl.create_default_context().cert_store_stats()['x509_ca'])")

    assert int(count) > 50


def test_its_bill_of_materials_lists_what_is_installed(image: str) -> None:
    bill = json.loads(python(image, "print(open('/opt/pgready/sbom.cdx.json').read())"))
    listed = [*bill["components"], bill["metadata"]["component"]]
    packages = {part["name"]: part["version"] for part in listed if part["purl"].startswith("pkg:pypi/")}

    assert packages == json.loads(python(image, INSTALLED))
    assert {"libc6", "libssl3"} <= {part["name"] for part in listed if part["purl"].startswith("pkg:deb/")}


def test_its_bill_of_materials_names_the_licence_of_every_python_package(image: str) -> None:
    bill = json.loads(python(image, "print(open('/opt/pgready/sbom.cdx.json').read())"))
    listed = [part for part in bill["components"] if part["purl"].startswith("pkg:pypi/")]

    assert [part["name"] for part in listed if "licenses" not in part] == []


def test_its_bill_of_materials_has_the_hashes_of_the_lock(image: str) -> None:
    bill = json.loads(python(image, "print(open('/opt/pgready/sbom.cdx.json').read())"))
    lock = (CHECKOUT / "requirements" / "runtime.txt").read_text()
    hashes = [part["hashes"][0]["content"] for part in bill["components"] if "hashes" in part]

    assert len(hashes) == len([part for part in bill["components"] if part["purl"].startswith("pkg:pypi/")])
    assert [each for each in hashes if f"sha256:{each}" not in lock] == []
