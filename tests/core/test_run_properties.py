"""Whatever happens to whom and when: the history is that of one undisturbed run.

The world and what may go wrong in it are in `replicas`.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.replicas import Effect, Fault, Replica, World
from pgready.core import steps

SCRIPTS = st.lists(st.lists(st.sampled_from(Effect), min_size=1, max_size=3), min_size=1, max_size=3)

# Mostly nothing goes wrong, so that replicas also get somewhere.
FAULTS = st.one_of(*(st.just(Fault.NONE) for _ in range(4)), st.sampled_from(Fault))
NOTICE = -1


def turns(
    replicas: int, faults: st.SearchStrategy[Fault] = FAULTS
) -> st.SearchStrategy[list[tuple[int, Fault]]]:
    """Whose turn it is and what goes wrong in it; NOTICE is the server's."""
    return st.lists(st.tuples(st.integers(NOTICE, replicas - 1), faults), min_size=30, max_size=90)


def play(world: World, replicas: list[Replica], schedule: list[tuple[int, Fault]]) -> None:
    for turn, fault in schedule:
        if turn == NOTICE:
            world.notice()
        else:
            replicas[turn].step(fault)


def drive_to_the_end(world: World, replicas: list[Replica]) -> None:
    """Let the living finish undisturbed, in as many rounds as there can be work for."""
    world.notice()
    rounds = len(replicas) * (40 + 5 * len(world.effects))
    for _ in range(rounds):
        for replica in replicas:
            if replica.alive and not replica.ended:
                replica.step()
    assert all(replica.ended for replica in replicas if replica.alive), "it goes on and on"


def assert_as_undisturbed(world: World, replicas: list[Replica]) -> None:
    drive_to_the_end(world, replicas)
    if not any(replica.ready for replica in replicas):
        replicas = [Replica(world, seed=99)]
        drive_to_the_end(world, replicas)
    if any(replica.ready for replica in replicas):
        assert world.complete
        assert not world.journal
        assert not world.halves
        assert world.lock_owner is None
        assert {at: world.happened[at] for at in once(world)} == dict.fromkeys(once(world), 1)
        assert all(world.happened[at] for at in world.effects)
    else:
        assert uncertain(replicas), f"ended with {[replica.action for replica in replicas]}"
        assert all(world.happened[at] <= 1 for at in once(world))


def once(world: World) -> list[tuple[str, int]]:
    return [at for at, effect in world.effects.items() if effect is not Effect.HARMLESS]


def uncertain(replicas: list[Replica]) -> bool:
    return all(
        isinstance(replica.action, steps.GiveUp) and replica.action.reason is steps.GiveUpReason.UNCERTAIN
        for replica in replicas
    )


def assert_played_as_undisturbed(
    scripts: list[list[Effect]], replicas: int, schedule: list[tuple[int, Fault]]
) -> None:
    world = World(scripts)
    started = [Replica(world, seed) for seed in range(replicas)]
    play(world, started, schedule)
    assert_as_undisturbed(world, started)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCRIPTS, turns(2))
def test_two_replicas_reach_the_history_of_one_undisturbed_run(
    scripts: list[list[Effect]], schedule: list[tuple[int, Fault]]
) -> None:
    assert_played_as_undisturbed(scripts, 2, schedule)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCRIPTS, turns(3))
def test_three_replicas_reach_the_history_of_one_undisturbed_run(
    scripts: list[list[Effect]], schedule: list[tuple[int, Fault]]
) -> None:
    assert_played_as_undisturbed(scripts, 3, schedule)


SMALL_SCRIPTS = st.lists(st.just([Effect.TRANSACTION]), min_size=3, max_size=6)
FAR_AHEAD = st.sampled_from([Fault.NONE] * 4 + [Fault.CRASH_AHEAD, Fault.LOST_AHEAD, Fault.LOCK_TIMEOUT])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SMALL_SCRIPTS, turns(2, FAR_AHEAD))
def test_what_was_sent_ahead_by_a_client_that_is_gone_is_applied_once(
    scripts: list[list[Effect]], schedule: list[tuple[int, Fault]]
) -> None:
    assert_played_as_undisturbed(scripts, 2, schedule)


@settings(max_examples=100, deadline=None)
@given(SCRIPTS, st.lists(st.integers(0, 2), max_size=120))
def test_replicas_that_nothing_disturbs_all_end_ready(scripts: list[list[Effect]], order: list[int]) -> None:
    world = World(scripts)
    replicas = [Replica(world, seed) for seed in range(3)]
    for turn in order:
        if not replicas[turn].ended:
            replicas[turn].step()

    drive_to_the_end(world, replicas)

    assert all(replica.ready for replica in replicas)
    assert all(count == 1 for count in world.happened.values())


def test_whoever_lost_its_lock_does_not_judge_what_another_is_doing() -> None:
    world = World([[Effect.UNKNOWN]])
    at_work, unlocked = Replica(world, 0), Replica(world, 1)
    while not (isinstance(unlocked.action, steps.Look) and unlocked.action.under_lock):
        unlocked.step()
    world.unlock(unlocked.session)
    while not isinstance(at_work.action, steps.RunSingle):
        at_work.step()

    unlocked.step()  # looks, and sees the mark of what the other is about to run
    assert isinstance(unlocked.action, steps.Probe)
    unlocked.step()

    assert isinstance(unlocked.action, steps.Connect)
    assert_as_undisturbed(world, [at_work, unlocked])
