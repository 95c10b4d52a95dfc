"""`down` for any folder, history and goal, and in any order with `up`: all that was asked, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from pgready.core.errors import Diverged, PgreadyError, SettingsError
from pgready.core.model import (
    Applied,
    Folder,
    History,
    JournalRow,
    Kind,
    Migration,
    Script,
    SegmentState,
    Unrunnable,
)
from pgready.core.planning import Plan, Policies, plan
from pgready.core.reverting import Goal, Reversal, last, repeatables, reversals, same


class Way(Enum):
    """What is written to revert a version."""

    WHOLE = "DROP TABLE a;"
    ALONE = "DROP INDEX CONCURRENTLY a; DROP INDEX CONCURRENTLY b;"
    EMPTY = "-- nothing"
    MISSING = ""
    IN_PARTS = "DROP TABLE a; DROP INDEX CONCURRENTLY b;"
    PROGRAM = "main()"

    @property
    def leads_back(self) -> bool:
        return self in (Way.WHOLE, Way.ALONE, Way.EMPTY)

    def script(self, version: str) -> Script | None:
        if self is Way.MISSING:
            return None
        unrunnable = Unrunnable("is a program", "write SQL") if self is Way.PROGRAM else None
        return Script(f"{version}.down.sql", self.value, unrunnable=unrunnable)


class Stand(Enum):
    """What the history says of a version."""

    PENDING = "pending"
    APPLIED = "applied"
    BEGUN = "begun"
    FAILED = "failed"


class Version(Struct, frozen=True):
    way: Way
    stand: Stand
    has_file: bool

    @property
    def is_known(self) -> bool:
        return self.has_file or self.stand in (Stand.APPLIED, Stand.FAILED)

    @property
    def is_unclear(self) -> bool:
        return self.stand is Stand.FAILED or (self.stand is Stand.BEGUN and self.has_file)


Versions = Mapping[int, Version]

WAYS_BACK = st.sampled_from([way for way in Way if way.leads_back])
STANDS = st.sampled_from([*4 * [Stand.APPLIED], Stand.PENDING])
NUMBERS = st.integers(1, 9)
GOALS = st.none() | NUMBERS


def several(versions: st.SearchStrategy[Version]) -> st.SearchStrategy[dict[int, Version]]:
    return st.dictionaries(NUMBERS, versions, max_size=9)


REVERTIBLE = several(st.builds(Version, WAYS_BACK, STANDS, st.just(True)))
CLEAR = several(
    st.builds(Version, WAYS_BACK | st.sampled_from(Way), STANDS, st.sampled_from([True, True, False]))
)
UNCLEAR = several(st.builds(Version, WAYS_BACK, STANDS | st.sampled_from(Stand), st.just(True)))
ANY = (
    REVERTIBLE
    | CLEAR
    | UNCLEAR
    | several(st.builds(Version, st.sampled_from(Way), st.sampled_from(Stand), st.booleans()))
)


class Spelling(Struct, frozen=True):
    """How a number becomes a version; *stamped* ones are in order by their stamps alone."""

    stamped: bool

    def version(self, number: int) -> str:
        return f"of_{99 - number}" if self.stamped else str(number)

    def stamp(self, number: int) -> int | None:
        return number if self.stamped else None

    def goal(self, number: int | None) -> Goal:
        return Goal(None if number is None else self.version(number))


SPELLINGS = st.builds(Spelling, st.booleans())
VIEW = "view"


def folder(versions: Versions, spelling: Spelling, view: str = "same") -> Folder:
    return Folder(
        "model",
        tuple(
            Migration(
                spelling.version(number),
                "",
                Script(f"{number}.sql", ""),
                "same",
                revert=version.way.script(spelling.version(number)),
                stamp=spelling.stamp(number),
            )
            for number, version in sorted(versions.items())
            if version.has_file
        ),
        (Migration(VIEW, VIEW, Script("view.sql", ""), view, Kind.REPEATABLE),),
    )


def history(versions: Versions, spelling: Spelling) -> History:
    rows = (
        Applied(
            spelling.version(number),
            success=version.stand is Stand.APPLIED,
            stamp=spelling.stamp(number),
        )
        for number, version in versions.items()
        if version.stand in (Stand.APPLIED, Stand.FAILED)
    )
    marks = (
        JournalRow(Kind.VERSIONED, spelling.version(number), 0, SegmentState.DONE, "")
        for number, version in versions.items()
        if version.stand is Stand.BEGUN
    )
    return History(True, tuple(rows), tuple(marks))


def planned(versions: Versions, spelling: Spelling) -> Plan:
    return plan(folder(versions, spelling), history(versions, spelling), Policies())


def behind(versions: Versions, goal: int | None) -> list[int]:
    """The numbers of what is applied behind *goal*, newest first."""
    applied = (number for number, version in versions.items() if version.stand is Stand.APPLIED)
    return sorted((number for number in applied if goal is None or number > goal), reverse=True)


Outcome = list[str] | type[PgreadyError]


def outcome(made: Plan, goal: Goal) -> Outcome:
    try:
        return [each.migration.version for each in reversals(made, goal)]
    except PgreadyError as refused:
        return type(refused)


def expected(versions: Versions, spelling: Spelling, goal: int | None) -> Outcome:
    if any(version.is_unclear for version in versions.values()):
        return Diverged
    if goal is not None and not (goal in versions and versions[goal].is_known):
        return SettingsError
    wanted = behind(versions, goal)
    if not all(versions[number].has_file and versions[number].way.leads_back for number in wanted):
        return Diverged
    return [spelling.version(number) for number in wanted]


@given(ANY, SPELLINGS, GOALS)
def test_exactly_what_is_applied_behind_the_goal_goes_newest_first_or_nothing_does(
    versions: dict[int, Version], spelling: Spelling, goal: int | None
) -> None:
    made = planned(versions, spelling)

    assert outcome(made, spelling.goal(goal)) == expected(versions, spelling, goal)


@given(CLEAR, SPELLINGS)
def test_whatever_has_no_way_back_is_named_and_nothing_else(
    versions: dict[int, Version], spelling: Spelling
) -> None:
    obstacles = [
        spelling.version(number)
        for number in behind(versions, None)
        if not (versions[number].has_file and versions[number].way.leads_back)
    ]
    try:
        reversals(planned(versions, spelling), Goal(None))
        named = []
    except Diverged as refused:
        problems = refused.what.removeprefix("there is no way back: ").split("; ")
        named = [problem.partition(":")[0] for problem in problems]

    assert named == obstacles


@given(REVERTIBLE, SPELLINGS, st.integers(1, 12))
def test_a_count_takes_back_so_many_of_the_newest(
    versions: dict[int, Version], spelling: Spelling, count: int
) -> None:
    made = planned(versions, spelling)

    newest = [spelling.version(number) for number in behind(versions, None)]
    assert outcome(made, last(made, count)) == newest[:count]


def without(history: History, gone: tuple[Reversal, ...]) -> History:
    versions = {each.applied.version for each in gone}
    return History(True, tuple(row for row in history.applied if row.version not in versions))


@given(REVERTIBLE, SPELLINGS, st.data())
def test_a_goal_that_was_reached_looks_as_if_nothing_had_ever_been_behind_it(
    versions: dict[int, Version], spelling: Spelling, data: st.DataObject
) -> None:
    goal = data.draw(st.none() | st.sampled_from(sorted(versions))) if versions else None
    gone = reversals(planned(versions, spelling), spelling.goal(goal))
    never = {
        number: version if goal is not None and number <= goal else Version(version.way, Stand.PENDING, True)
        for number, version in versions.items()
    }

    left = plan(folder(versions, spelling), without(history(versions, spelling), gone), Policies())

    assert left == planned(never, spelling)
    assert reversals(left, spelling.goal(goal)) == ()


@given(REVERTIBLE, SPELLINGS, st.data())
def test_wherever_it_stopped_its_goal_takes_back_the_rest_and_no_more(
    versions: dict[int, Version], spelling: Spelling, data: st.DataObject
) -> None:
    before = planned(versions, spelling)
    goal = data.draw(st.integers(1, 9).map(lambda count: last(before, count)))
    agreed = reversals(before, goal)
    stop = data.draw(st.integers(0, len(agreed)))

    left = plan(folder(versions, spelling), without(history(versions, spelling), agreed[:stop]), Policies())

    assert same(reversals(left, goal), agreed[stop:])


# Up and down, in any order, with a stop anywhere.

TO_THE_END = 99


class Target(Struct):
    """A database: its history, and what is in it. A script fails where it does not find what it needs.

    What is one transaction in `running.reverter` is one step here.
    """

    rows: dict[tuple[Kind, str], Applied] = {}
    things: dict[str, str] = {}  # what each script made, as it was written then

    def plan(self, files: Folder) -> Plan:
        return plan(files, History(True, tuple(self.rows.values())), Policies())

    def up(self, files: Folder, steps: int = TO_THE_END) -> None:
        for entry in self.plan(files).pending[:steps]:
            migration = entry.migration
            assert migration is not None
            if migration.kind is Kind.VERSIONED:
                assert migration.version not in self.things
            self.things[migration.version] = migration.checksum
            self.rows[migration.kind, migration.version] = Applied(
                migration.version, kind=migration.kind, checksum=migration.checksum, stamp=migration.stamp
            )

    def down(self, files: Folder, goal: Goal, steps: int = TO_THE_END) -> None:
        """Statements outside of a transaction are a step, and the end of their record is another one."""
        for _ in range(steps):
            made = self.plan(files)
            planned = reversals(made, goal)
            if not planned:
                return
            version = planned[0].migration.version
            if version in self.things:
                self._drop(version, [each.version for each in files.migrations])
                if not planned[0].transactional:
                    continue
                self.things.pop(VIEW, None)  # it was made of every table
            del self.rows[Kind.VERSIONED, version]
            for again in repeatables(made):
                del self.rows[again.kind, again.version]

    def _drop(self, version: str, order: Sequence[str]) -> None:
        later = order[order.index(version) + 1 :]
        assert self.things.keys().isdisjoint(later), "something needs it"
        del self.things[version]

    @property
    def is_half_way(self) -> bool:
        """Whether a `down` died between statements and their record: it must be given again."""
        return any(kind is Kind.VERSIONED and version not in self.things for kind, version in self.rows)


WAYS = st.dictionaries(NUMBERS, WAYS_BACK, max_size=6)
STEPS = st.integers(0, 9)
TURNS = st.lists(st.tuples(st.booleans(), STEPS, st.integers(0, 9)), max_size=8)


def files(ways: Mapping[int, Way], spelling: Spelling, view: str = "same") -> Folder:
    versions = {number: Version(way, Stand.PENDING, True) for number, way in ways.items()}
    return folder(versions, spelling, view)


def undisturbed(files: Folder) -> Target:
    target = Target()
    target.up(files)
    return target


@given(WAYS, SPELLINGS, TURNS)
def test_up_and_down_in_any_order_and_stopped_anywhere_end_as_one_undisturbed_run(
    ways: dict[int, Way], spelling: Spelling, turns: list[tuple[bool, int, int]]
) -> None:
    image = files(ways, spelling)
    goals = [Goal(None), *(Goal(each.version) for each in image.migrations)]
    target = Target()
    for is_up, steps, stays in turns:
        if is_up:
            target.up(image, steps)
            continue
        goal = goals[stays % len(goals)]
        target.down(image, goal, steps)
        if target.is_half_way:
            target.down(image, goal)
    target.up(image)

    assert target == undisturbed(image)


@given(older=WAYS, added=WAYS, spelling=SPELLINGS, steps=STEPS, views=st.sampled_from(["same", "other"]))
def test_a_release_taken_back_wherever_it_stopped_leaves_the_older_one_as_it_was(
    older: dict[int, Way], added: dict[int, Way], spelling: Spelling, steps: int, views: str
) -> None:
    before = files(older, spelling)
    release = files({**older, **{number + 9: way for number, way in added.items()}}, spelling, views)
    target = undisturbed(before)
    target.up(release, steps)

    target.down(release, Goal(before.migrations[-1].version if before.migrations else None))
    target.up(before)

    assert target == undisturbed(before)
