"""The reference says what the code does: each table is compared with what it describes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pgready.core.errors import ExitCode

CHECKOUT = Path(__file__).parent.parent
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.glob("*.md"))]


def table_rows(page: Path, *, below: str = "") -> list[list[str]]:
    """The cells of each row in *page*'s tables, from the line *below* to the next heading."""
    text = page.read_text().partition(below)[2] if below else page.read_text()
    section = re.split(r"^#+ ", text, flags=re.MULTILINE)[0] if below else text
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {number for number, row in enumerate(rows) if set("".join(row)) <= {"-", ":"}}
    return [row for number, row in enumerate(rows) if number not in rules and number + 1 not in rules]


def test_exit_codes_are_documented_as_they_are() -> None:
    documented = {
        (int(code), name, retry == "yes") for code, name, _, retry in table_rows(DOCS / "exit-codes.md")
    }

    assert documented == {(code.value, code.name, code.worth_retrying) for code in ExitCode}


def test_job_failure_policy_of_the_docs_lists_what_no_retry_cures() -> None:
    values = re.search(r"operator: In, values: \[([0-9, ]+)\]", (DOCS / "exit-codes.md").read_text())
    hopeless = {code.value for code in ExitCode if code and not code.worth_retrying}

    assert values and {int(value) for value in values[1].split(",")} == hopeless


def test_the_shells_example_stops_at_whatever_is_not_merely_behind() -> None:
    (example,) = re.findall(r"`(pgready status [^`]*)`", (DOCS / "exit-codes.md").read_text())
    goes_on = {
        code
        for code in ExitCode
        if not subprocess.run(
            ["sh", "-ec", f"pgready() {{ return {code}; }}; {example}; true"], check=False
        ).returncode
    }

    assert goes_on == {ExitCode.DONE, ExitCode.PENDING}


@pytest.mark.parametrize(
    ("heading", "column", "declared"),
    [
        ("## At run time", 0, "project.dependencies"),
        ("## Optional", 1, "project.optional-dependencies.embedded"),
        ("## To develop", 0, "dependency-groups.dev"),
        ("## For `make lint-containers`", 0, "dependency-groups.containers"),
        ("## For `make mutants`", 0, "dependency-groups.mutants"),
    ],
)
def test_every_dependency_has_its_reason(heading: str, column: int, declared: str) -> None:
    requirements: Any = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    for key in declared.split("."):
        requirements = requirements[key]
    documented = {
        name
        for row in table_rows(DOCS / "dependencies.md", below=heading)
        for name in row[column].split(", ")
    }

    assert documented == {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}


def test_compose_variables_are_documented_as_the_files_use_them() -> None:
    files = "".join(path.read_text() for path in (CHECKOUT / "compose").glob("*.yaml"))
    documented = {
        (name, default.split("`")[1])
        for names, default in table_rows(DOCS / "compose.md", below="## Variables")
        for name in re.findall(r"`(\w+)`", names)
    }

    assert documented == set(re.findall(r"\$\{(\w+):-([^}]+)\}", files))


def test_every_case_of_the_bench_is_described() -> None:
    cases = set(
        re.findall(r'^    "([\w-]+)": ', (CHECKOUT / "bench/cases/__init__.py").read_text(), re.MULTILINE)
    )
    described = {
        name
        for names, _ in table_rows(CHECKOUT / "bench/README.md")
        for name in re.findall(r"`([\w-]+)`", names)
    }

    assert described == cases


def test_every_peer_of_the_bench_is_named_with_its_rule_or_why_it_is_not_measured() -> None:
    peers = re.findall(
        r'^    (?:Entry\()?"([\w-]+)"', (CHECKOUT / "bench/peers/__init__.py").read_text(), re.MULTILINE
    )
    documented = [row[0] for row in table_rows(DOCS / "benchmarks.md", below="## The peers")]

    assert sorted(documented) == sorted(peers)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_picture_is_shown_somewhere_and_every_picture_shown_is_there() -> None:
    texts = "".join(path.read_text() for path in PAGES)
    shown = set(re.findall(r"images/([\w-]+\.(?:png|svg))", texts))

    assert shown == {path.name for path in (DOCS / "images").iterdir()}


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}

    assert {name: size for name, size in sizes.items() if size >= 150_000} == {}
