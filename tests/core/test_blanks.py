"""Migrations without a statement, on purpose or not filled in yet."""

from __future__ import annotations

import hashlib

import pytest

from pgready.core.blanks import pending, was_blank
from pgready.core.model import Applied, Kind, Migration, Script
from pgready.core.planning import Entry, Severity, State
from pgready.core.tokens import token_checksum


def test_a_pending_one_is_warned_of_by_its_file_with_what_to_do() -> None:
    migration = Migration("0001", "first", Script("0001_first.sql", ""), "c")
    finding = pending(Entry("0001", "first", Kind.VERSIONED, State.PENDING, migration=migration))

    assert (finding.severity, finding.version, finding.flag) == (Severity.WARNING, "0001", None)
    assert finding.message.startswith("0001_first.sql: no statement in it applies 0001")
    assert finding.hint is not None and finding.hint.startswith("fill it in before")


def recorded(text: str) -> Applied:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Applied("1", checksum=digest, token_checksum=token_checksum(text))


@pytest.mark.parametrize("text", ["", "\ufeff", "\n", "-- to be written\n", "/* on purpose */\n"])
def test_what_was_recorded_without_a_statement_is_known(text: str) -> None:
    assert was_blank(recorded(text))


@pytest.mark.parametrize(
    "text", ["SELECT 1;", "-- pgready: no-transaction\nVACUUM;", "COPY t FROM stdin;\n\\."]
)
def test_what_was_recorded_with_one_is_not_taken_for_it(text: str) -> None:
    assert not was_blank(recorded(text))


@pytest.mark.parametrize(
    ("checksum", "blank"),
    [
        (hashlib.sha256(b"").hexdigest(), True),
        (hashlib.sha384(b"").hexdigest(), True),
        ("0", True),
        (hashlib.sha256(b"SELECT 1;").hexdigest(), False),
        ("-1193849269", False),
        (None, False),
    ],
)
def test_of_another_tools_row_the_checksum_of_an_empty_file_tells(checksum: str | None, blank: bool) -> None:
    assert was_blank(Applied("1", checksum=checksum)) is blank
