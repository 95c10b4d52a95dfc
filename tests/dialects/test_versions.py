"""The version of a new migration: behind the newest, in its form."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgready.dialects.versions import following

NOW = datetime(2026, 11, 24, 9, 30, 15, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("newest", "next_one"),
    [
        ("1", "2"),
        ("9", "10"),
        ("0009", "0010"),
        ("0999", "1000"),
        ("000000", "000001"),
        ("1_3", "1_4"),
        ("1.09", "1.10"),
        ("9" * 300, "1" + "0" * 300),
    ],
)
def test_a_number_is_followed_by_the_next_one_of_as_many_digits(newest: str, next_one: str) -> None:
    assert following(newest, NOW) == next_one


@pytest.mark.parametrize(
    ("newest", "now"),
    [
        ("20260101", "20261124"),
        ("202601010000", "202611240930"),
        ("20260101000000", "20261124093015"),
        ("20260101000000000", "20261124093015250"),
        ("1700000000", "1795512615"),
        ("1700000000000", "1795512615250"),
        ("2026_20260101000000", "2026_20261124093015"),
    ],
)
def test_a_moment_is_followed_by_now_in_the_same_form(newest: str, now: str) -> None:
    assert following(newest, NOW) == now


@pytest.mark.parametrize(
    ("newest", "next_one"),
    [
        ("20261231", "20270101"),
        ("20261124093015", "20261124093016"),
        ("20261231235959", "20270101000000"),
        ("20991231235959999", "21000101000000000"),
        ("1795512616", "1795512617"),
        ("9999999999999", "10000000000000"),
    ],
)
def test_a_moment_that_is_not_over_is_followed_by_the_one_behind_it(newest: str, next_one: str) -> None:
    assert following(newest, NOW) == next_one


@pytest.mark.parametrize(
    ("newest", "next_one"),
    [
        ("00000012", "00000013"),
        ("10000001", "10000002"),
        ("20261399", "20261400"),
        ("20260101006161", "20260101006162"),
        ("99991231235959", "99991231235960"),
        ("0000000001", "0000000002"),
        ("0000000000001", "0000000000002"),
    ],
)
def test_what_only_has_the_length_of_a_moment_is_a_number(newest: str, next_one: str) -> None:
    assert following(newest, NOW) == next_one
