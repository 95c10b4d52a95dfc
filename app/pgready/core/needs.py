"""What a look at the catalogue found about a declaration; apart from `reconcile`, which finds it, because
a start with nothing declared loads only this."""

from __future__ import annotations

from msgspec import Struct

from pgready.core.planning import Finding, Severity

OPTIONAL = "or make it optional with a ? after its name"


class Drift(Struct, frozen=True):
    """Something exists and differs from its declaration, in words."""

    what: str
    name: str
    difference: str

    @property
    def of_cluster(self) -> bool:
        """Whether it belongs to the whole server rather than to the target database."""
        return self.what in ("role", "database")


class Task(Struct, frozen=True):
    """Something that bootstrap is to do, in the words in which it tells what it has done."""

    what: str
    name: str
    action: str


class Lack(Struct, frozen=True):
    """A required extension that the server cannot create: why, and where it comes from."""

    name: str
    why: str
    cure: str

    @property
    def finding(self) -> Finding:
        """As a look tells it: `up` finds it out under the lock, behind database and roles, and fails."""
        message = f"extension {self.name}: {self.why}"
        return Finding(Severity.ERROR, "", None, message, f"{self.cure}; {OPTIONAL}")


class Needs(Struct, frozen=True):
    """Whether each of the two bootstraps has work, which that is, what cannot be done, and what differs."""

    cluster: bool = False
    target: bool = False
    drift: tuple[Drift, ...] = ()
    tasks: tuple[Task, ...] = ()
    lacking: tuple[Lack, ...] = ()

    @property
    def at_rest(self) -> tuple[Drift, ...]:
        """The drift of whichever part has no work: a bootstrap tells that of its own part itself."""
        return tuple(each for each in self.drift if not (self.cluster if each.of_cluster else self.target))
