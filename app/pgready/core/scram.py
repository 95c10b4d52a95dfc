"""SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802, 7677; `pg_authid.rolpassword`).

A password that is sent in CREATE ROLE or ALTER ROLE may end in the server's log. A verifier may be sent
in its place and tells nobody the password, so it is computed here. The same arithmetic tells whether a
stored verifier belongs to a password, so that a role is altered only when its password really differs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode

ITERATIONS = 4096
"""The server's own default (`scram_iterations`)."""

SALT_BYTES = 16

_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$(?P<iterations>[1-9]\d{0,8})"
    r":(?P<salt>(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?)"
    r"\$(?P<stored_key>[A-Za-z0-9+/]{43}=):(?P<server_key>[A-Za-z0-9+/]{43}=)"
)
_MD5 = re.compile(r"md5[0-9a-f]{32}")


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """The verifier of *password* as the server stores it; *salt* must be random and new each time."""
    salted = _salted_password(password, salt, iterations)
    keys = f"{_text(_stored_key(salted))}:{_text(_hmac(salted, b'Server Key'))}"
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${keys}"


def matches(stored: str, password: str, role: str) -> bool:
    """Whether *stored*, the `rolpassword` of *role*, was made of *password*.

    Knows SCRAM-SHA-256 verifiers and the MD5 digests of old servers; anything else does not match.
    """
    if _MD5.fullmatch(stored):
        return hmac.compare_digest(stored, _md5_digest(password, role))
    parts = _VERIFIER.fullmatch(stored)
    if parts is None:
        return False
    salted = _salted_password(password, b64decode(parts["salt"]), int(parts["iterations"]))
    return hmac.compare_digest(parts["stored_key"], _text(_stored_key(salted)))


def is_md5(stored: str) -> bool:
    """Whether *stored* is an MD5 digest, which servers from 18 on warn of."""
    return _MD5.fullmatch(stored) is not None


def saslprep(text: str) -> str:
    """*text* normalised by RFC 4013, or as it is where that forbids it: so does the server."""
    if text.isascii():
        return text
    import stringprep
    import unicodedata

    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    return normal if normal and _is_allowed(normal) else text


def _is_allowed(text: str) -> bool:
    """RFC 4013 2.3 to 2.5: no forbidden or unassigned character, no mixed directions."""
    import stringprep as tables

    forbidden = (
        tables.in_table_a1,
        tables.in_table_c12,
        tables.in_table_c21_c22,
        tables.in_table_c3,
        tables.in_table_c4,
        tables.in_table_c5,
        tables.in_table_c6,
        tables.in_table_c7,
        tables.in_table_c8,
        tables.in_table_c9,
    )
    if any(is_in(character) for is_in in forbidden for character in text):
        return False
    if not any(tables.in_table_d1(character) for character in text):
        return True
    ends_right_to_left = tables.in_table_d1(text[0]) and tables.in_table_d1(text[-1])
    return ends_right_to_left and not any(tables.in_table_d2(character) for character in text)


def _salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)


def _stored_key(salted_password: bytes) -> bytes:
    return hashlib.sha256(_hmac(salted_password, b"Client Key")).digest()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _md5_digest(password: str, role: str) -> str:
    digest = hashlib.md5((password + role).encode(), usedforsecurity=False)
    return "md5" + digest.hexdigest()


def _text(data: bytes) -> str:
    return b64encode(data).decode()
