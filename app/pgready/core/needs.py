"""What a look at the catalogue found about a declaration; apart from `reconcile`, which finds it, because
a start with nothing declared loads only this."""

from __future__ import annotations

from msgspec import Struct


class Drift(Struct, frozen=True):
    """Something exists and differs from its declaration, in words."""

    what: str
    name: str
    difference: str


class Needs(Struct, frozen=True):
    """Whether each of the two bootstraps has work, and what merely differs."""

    cluster: bool = False
    target: bool = False
    drift: tuple[Drift, ...] = ()
