"""SipHash-1-3 without a key, as Rust's standard hasher computes it, for checksums that were made with it."""

from __future__ import annotations

from collections.abc import Iterator
from struct import iter_unpack

_MASK = 2**64 - 1


def siphash13(data: bytes) -> int:
    """The unsigned 64-bit hash of *data* (J.-P. Aumasson, D. J. Bernstein: SipHash, 2012, with c=1, d=3)."""
    v0, v1, v2, v3 = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573
    for word, last in _rounds(data):
        v3 ^= word
        if last:
            v2 ^= 0xFF
        # Written out: a function for each rotation would take three times as long.
        v0 = (v0 + v1) & _MASK
        v1 = ((v1 << 13 | v1 >> 51) & _MASK) ^ v0
        v0 = (v0 << 32 | v0 >> 32) & _MASK
        v2 = (v2 + v3) & _MASK
        v3 = ((v3 << 16 | v3 >> 48) & _MASK) ^ v2
        v0 = (v0 + v3) & _MASK
        v3 = ((v3 << 21 | v3 >> 43) & _MASK) ^ v0
        v2 = (v2 + v1) & _MASK
        v1 = ((v1 << 17 | v1 >> 47) & _MASK) ^ v2
        v2 = (v2 << 32 | v2 >> 32) & _MASK
        v0 ^= word
    return v0 ^ v1 ^ v2 ^ v3


def _rounds(data: bytes) -> Iterator[tuple[int, bool]]:
    """What is mixed in at each round, and whether the three that end it all begin there.

    *data* as little-endian words, of which the last holds in its top byte how long it is; then nothing.
    """
    whole = len(data) & ~7
    for (word,) in iter_unpack("<Q", data[:whole]):
        yield word, False
    yield int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56, False
    yield from ((0, True), (0, False), (0, False))
