"""Two images with different folders start at once, in any interleaving."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from pgready.core.model import Applied, Folder, History, Kind, Migration, Script
from pgready.core.planning import Flag, Policies, plan

VERSIONS = st.sets(st.integers(1, 12), max_size=8)
OLDER, NEWER = "older", "newer"


def folder(image: str, versions: set[int], stamped: bool) -> Folder:
    """What *image* holds: *versions*, and a view of its own making."""
    view = Migration("view", "view", Script("view.sql", ""), image, Kind.REPEATABLE)
    return Folder("model", tuple(migration(each, stamped) for each in sorted(versions)), (view,))


def migration(version: int, stamped: bool) -> Migration:
    return Migration(
        str(version), "", Script(f"{version}.sql", ""), "same", stamp=version if stamped else None
    )


class Target(Struct):
    """A database: its history, and every migration that was run, in order."""

    rows: dict[tuple[Kind, str], Applied] = {}
    ran: list[tuple[Kind, str]] = []

    def step(self, files: Folder) -> bool:
        """Apply the next migration of *files*; False where there is none, or it is refused."""
        made = plan(files, History(True, tuple(self.rows.values())), Policies())
        if made.errors or not made.pending:
            return False
        wanted = made.pending[0].migration
        assert wanted is not None
        key = (wanted.kind, wanted.version)
        self.rows[key] = Applied(wanted.version, "", wanted.kind, wanted.checksum, stamp=wanted.stamp)
        self.ran.append(key)
        return True

    def once(self) -> list[str]:
        return [version for kind, version in self.ran if kind is Kind.VERSIONED]


@given(base=VERSIONS, added=VERSIONS, turns=st.lists(st.booleans(), max_size=25), stamped=st.booleans())
def test_whoever_is_faster_the_newer_image_ends_with_all_of_its_own_applied_once(
    base: set[int], added: set[int], turns: list[bool], stamped: bool
) -> None:
    older, newer = folder(OLDER, base, stamped), folder(NEWER, base | added, stamped)
    target = Target()
    for newer_is_next in turns:
        target.step(newer if newer_is_next else older)
    while target.step(newer):
        pass

    assert sorted(target.once(), key=int) == [str(each) for each in sorted(base | added)]
    assert target.rows[Kind.REPEATABLE, "view"].checksum == NEWER
    assert plan(newer, History(True, tuple(target.rows.values())), Policies()).findings == ()


@given(base=VERSIONS, added=VERSIONS, stamped=st.booleans())
def test_an_older_image_runs_nothing_once_but_its_view_where_it_is_not_refused(
    base: set[int], added: set[int], stamped: bool
) -> None:
    target = Target()
    while target.step(folder(NEWER, base | added, stamped)):
        pass
    ran = len(target.once())

    made = plan(folder(OLDER, base, stamped), History(True, tuple(target.rows.values())), Policies())

    between = {each for each in added - base if not base or each < max(base)}
    assert bool(made.errors) is bool(between)
    assert [entry.version for entry in made.pending] == ["view"]
    assert sum(Flag.AHEAD in entry.flags for entry in made.entries) == len(added - base) - len(between)
    assert len(target.once()) == ran
