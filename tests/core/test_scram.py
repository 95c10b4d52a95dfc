"""Verifiers are the server's own, and tell one password from another."""

from __future__ import annotations

import pytest

from pgready.core import scram

# RFC 7677's example: user `user`, password `pencil`; the keys follow from its exchange.
RFC_SALT = bytes.fromhex("5b6d99689d12358eeca04b141236fa81")
RFC_VERIFIER = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_verifier_is_that_of_the_standards_example() -> None:
    assert scram.verifier("pencil", RFC_SALT) == RFC_VERIFIER


@pytest.mark.parametrize("password", ["pencil", "p@ss:w/rd?#[%", "naïve café", "пароль", "x" * 200])
def test_verifier_matches_the_password_it_was_made_of(password: str) -> None:
    assert scram.matches(scram.verifier(password, b"0123456789abcdef", 10), password, "app")


def test_verifier_does_not_match_another_password() -> None:
    assert not scram.matches(RFC_VERIFIER, "pencils", "user")


MD5_OF_SECRET = "md56a422f785c9e20873908ce25d1736ae2"  # SELECT 'md5' || md5('secret' || 'app')


@pytest.mark.parametrize(("password", "fits"), [("secret", True), ("other", False)])
def test_md5_digest_of_an_old_server_matches_its_password_alone(password: str, fits: bool) -> None:
    assert scram.matches(MD5_OF_SECRET, password, "app") is fits


@pytest.mark.parametrize(
    "stored",
    ["", "plain", "SCRAM-SHA-256$0:AAAA$x:y", RFC_VERIFIER.replace("==", "="), RFC_VERIFIER + "x"],
)
def test_what_is_no_verifier_matches_nothing(stored: str) -> None:
    assert not scram.matches(stored, "pencil", "user")


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("a\u0007\u00e9", "a\u0007\u00e9"),  # forbidden, so used as it is
        ("\u0627\u0031", "\u0627\u0031"),  # ends the wrong way, so used as it is
        ("\u00ad", "\u00ad"),  # nothing would be left
    ],
)
def test_saslprep_normalises_as_the_server_does(text: str, prepared: str) -> None:
    assert scram.saslprep(text) == prepared
