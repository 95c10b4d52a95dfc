"""Renamed files: what was applied under another version is not run again."""

from __future__ import annotations

import pytest

from pgready.core import planning, renames
from pgready.core.model import Applied, Folder, History, Migration, Script
from pgready.core.planning import Finding, Plan, Policies, Policy, Severity

FOR_ALL = Policies(out_of_order=Policy.ALLOW, ahead=Policy.ALLOW, missing=Policy.ALLOW)


def made(files: dict[str, str], rows: dict[str, str], policies: Policies = FOR_ALL) -> Plan:
    """The plan for *files* and *rows*, each a version and its checksum."""
    migrations = tuple(
        Migration(version, "x", Script(f"{version}_x.sql", ""), checksum)
        for version, checksum in files.items()
    )
    applied = tuple(Applied(version, "x", checksum=checksum) for version, checksum in rows.items())
    return planning.plan(Folder("native", migrations), History(True, applied), policies)


def errors(plan: Plan) -> list[Finding]:
    return [finding for finding in renames.refused(plan).findings if finding.severity is Severity.ERROR]


@pytest.mark.parametrize("renamed", ["2", "4"])
def test_a_renamed_file_is_refused_whatever_the_policies_say(renamed: str) -> None:
    (found,) = errors(made({"1": "a", renamed: "b"}, {"1": "a", "3": "b"}))

    assert found.message.startswith(f"{renamed}_x.sql: has the text of 3 (x), which is applied")


def test_nobody_is_told_to_accept_that_the_old_name_is_gone() -> None:
    hints = [each.hint or "" for each in errors(made({"1": "a", "4": "b"}, {"1": "a", "3": "b"}, Policies()))]

    assert [hint for hint in hints if "accept" in hint] == []


def test_two_files_of_one_text_are_two_migrations() -> None:
    assert errors(made({"1": "a", "2": "a"}, {"1": "a"})) == []


def test_another_text_is_no_renamed_file() -> None:
    assert errors(made({"1": "a", "4": "c"}, {"1": "a", "3": "b"})) == []


@pytest.mark.parametrize(("gone", "twin"), [("3", "4"), ("5", None)])
def test_the_row_of_a_lost_file_has_the_pending_file_of_its_text_for_a_twin(
    gone: str, twin: str | None
) -> None:
    plan = made({"1": "a", "4": "b"}, {"1": "a", "3": "b", "5": "c"})
    (lost,) = (entry for entry in plan.entries if entry.version == gone)

    found = renames.renamed(plan, lost)

    assert (found.version if found else None) == twin
