"""The feed: one status, and everyone who waits is woken."""

from __future__ import annotations

import anyio
import pytest

from pgready.core.phases import Phase
from pgready.service.feed import Feed
from service.samples import FAILED, READY, entered


def test_publishing_needs_no_event_loop(feed: Feed) -> None:
    feed.publish(entered("planning"))

    assert feed.sequence == 1
    assert Phase(feed.status.phase) is Phase.PLANNING


async def test_every_waiter_is_woken_by_one_event(feed: Feed) -> None:
    seen: list[int] = []

    async def wait() -> None:
        seen.append(await feed.changed(0))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        feed.publish(entered("planning"))

    assert seen == [1, 1, 1]


async def test_what_was_published_before_is_not_waited_for(feed: Feed) -> None:
    feed.publish(entered("planning"))
    feed.publish(entered("migrating"))

    with anyio.fail_after(5):
        assert await feed.changed(0) == 2


async def test_a_cancelled_waiter_leaves_the_others_alone(feed: Feed) -> None:
    with anyio.move_on_after(0):
        await feed.changed(0)
    feed.publish(entered("planning"))

    assert await feed.changed(0) == 1


def test_started_stays_when_readiness_is_lost(feed: Feed) -> None:
    feed.publish(READY)
    feed.publish(FAILED)

    assert feed.started
    assert not feed.status.ready


@pytest.mark.parametrize(
    "phase", ["connecting", "waiting", "bootstrapping", "planning", "migrating", "checking"]
)
def test_the_phase_in_which_a_run_failed_is_remembered(feed: Feed, phase: str) -> None:
    feed.publish(entered(phase))
    feed.publish(entered("failed"))

    assert feed.working_phase is Phase(phase)
