"""The token checksum: tells a cosmetic change of a script from a real one."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise

from pgready.core.segments import BYTE_ORDER_MARK
from pgready.core.sql import TokenKind, Unscannable, token_texts

LIMIT_BYTES = 1 << 20

# Comments that mean something to us or to a peer (PEERS.md), each as its tool spells it.
_MARKER = re.compile(
    rb"--[ \t]*(?:pgready[ \t]*:|\+goose\b|migrate:|no-transaction\b|>[ \t]*statement-breakpoint|atlas:|!"
    rb"|(?:up|down) migration\b|-- *(?:create above|tern:)|liquibase\b|changeset\b|rollback\b"
    rb"|preconditions\b|depends:|transactional:)",
    re.IGNORECASE,
)

_STANDARD_STREAM = re.compile("std(?:in|out)", re.IGNORECASE)


def token_checksum(text: str, markers: tuple[str, ...] = ()) -> str | None:
    """Hex SHA-256 over the tokens of *text*: white space and comments dropped, all else byte for byte.

    Comments that are directives, a known peer's markers, or start with one of *markers* count. None
    where no cosmetic change can be told: text that cannot be scanned, that is longer than 1 MiB, or that
    holds COPY data, in which white space means something.
    """
    if len(text) > LIMIT_BYTES or len(text.encode(errors="replace")) > LIMIT_BYTES:
        return None
    own = tuple(marker.encode() for marker in markers)
    try:
        kept = [
            raw
            for kind, raw in token_texts(text.removeprefix(BYTE_ORDER_MARK))
            if kind is not TokenKind.COMMENT or _MARKER.match(raw) or (own and raw.startswith(own))
        ]
    except Unscannable:
        return None
    if _STANDARD_STREAM.search(text) and _has_copy_data(kept):
        return None
    return hashlib.sha256(b"\0".join(kept)).hexdigest()


def _has_copy_data(kept: list[bytes]) -> bool:
    folded = [raw.lower() for raw in kept if len(raw) <= len(b"stdout")]
    return any(before == b"from" and word in (b"stdin", b"stdout") for before, word in pairwise(folded))
