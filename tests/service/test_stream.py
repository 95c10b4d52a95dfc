"""`/events`: what a page, a listener that comes back, and one that does not read are sent."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from harness.listening import listening
from pgready.core import events
from pgready.core.model import LockHolder
from pgready.core.planning import Plan, State
from pgready.core.renderings import summary_json
from pgready.core.status import Status
from pgready.service import protocol, stream
from pgready.service.feed import Feed
from pgready.service.representations import Representations
from pgready.service.stream import Broadcast, Entry, Ring
from pgready.service.web import application
from service.samples import FAILED, NOW, PLANNED, READY, Serving, entered, entry

APPLIED = events.MigrationApplied("0002", "x", "versioned", 12, "web-0")


@pytest.fixture
def app(feed: Feed) -> Starlette:
    return application(feed)


async def test_a_new_listener_is_sent_the_whole_status_first(
    app: Starlette, feed: Feed, serving: Serving
) -> None:
    feed.publish(PLANNED)
    async with serving(app) as port, listening(port) as listener, httpx.AsyncClient() as client:
        first = await listener.next()
        asked = await client.get(f"http://127.0.0.1:{port}/migrations")

    assert listener.response.headers["content-type"].startswith("text/event-stream")
    assert (first.name, first.data) == ("status", asked.json())


async def test_each_event_follows_under_its_own_name_with_a_growing_id(
    app: Starlette, feed: Feed, serving: Serving
) -> None:
    feed.publish(PLANNED)
    async with serving(app) as port, listening(port) as listener:
        first = await listener.next()
        feed.publish(entered("migrating"))
        feed.publish(APPLIED)
        entering, applied, summary = [await listener.next() for _ in range(3)]

    assert [heard.name for heard in (entering, applied, summary)] == [
        "phase.entered", "migration.applied", "summary",
    ]  # fmt: skip
    assert [_number(heard.id) for heard in (first, entering, applied)] == [1, 2, 3]
    assert applied.data == {
        "at": "2026-05-04T12:00:00Z", "version": "0002", "name": "x", "kind": "versioned",
        "duration_ms": 12, "applied_by": "web-0",
    }  # fmt: skip


def _number(identity: str | None) -> int:
    return int((identity or "").rpartition("-")[2])


async def test_a_summary_is_the_body_of_ready_and_has_no_id(
    app: Starlette, feed: Feed, serving: Serving
) -> None:
    async with serving(app) as port, listening(port) as listener, httpx.AsyncClient() as client:
        await listener.until("status")
        feed.publish(READY)
        summary = await listener.until("summary")
        asked = await client.get(f"http://127.0.0.1:{port}/ready")

    assert (summary.id, summary.data) == (None, asked.json())


async def test_a_plan_is_told_by_its_counts_and_a_whole_status(
    app: Starlette, feed: Feed, serving: Serving
) -> None:
    async with serving(app) as port, listening(port) as listener:
        await listener.until("status")
        feed.publish(PLANNED)
        planned, status = await listener.next(), await listener.next()

    assert planned.data["counts"]["pending"] == 1
    assert "plan" not in planned.data
    assert [each["version"] for each in status.data["migrations"]] == ["0001", "0002"]


async def test_a_listener_that_comes_back_is_sent_what_it_missed(
    app: Starlette, feed: Feed, serving: Serving
) -> None:
    async with serving(app) as port:
        async with listening(port) as listener:
            last = (await listener.until("status")).id
        feed.publish(entered("planning"))
        feed.publish(entered("migrating"))
        async with listening(port, {"Last-Event-ID": last or ""}) as listener:
            missed = [await listener.next() for _ in range(3)]

    assert [heard.name for heard in missed] == ["phase.entered", "phase.entered", "summary"]
    assert [heard.data["phase"] for heard in missed] == ["planning", "migrating", "migrating"]


async def test_who_wants_no_list_is_sent_a_summary_in_its_place(
    app: Starlette, feed: Feed, serving: Serving
) -> None:
    feed.publish(PLANNED)
    async with serving(app) as port, listening(port, query="?summary") as listener:
        first = await listener.next()
        feed.publish(PLANNED)
        planned, second = await listener.next(), await listener.next()

    assert [heard.name for heard in (first, planned, second)] == ["summary", "plan.made", "summary"]
    assert (_number(first.id), second.id) == (1, None)
    assert "migrations" not in first.data
    assert first.data["counts"]["pending"] == 1


async def test_who_wants_no_list_comes_back_to_what_it_missed(
    app: Starlette, feed: Feed, serving: Serving
) -> None:
    async with serving(app) as port:
        async with listening(port, query="?summary") as listener:
            last = (await listener.until("summary")).id
        feed.publish(PLANNED)
        async with listening(port, {"Last-Event-ID": last or ""}, query="?summary") as listener:
            missed = [await listener.next() for _ in range(2)]

    assert [heard.name for heard in missed] == ["plan.made", "summary"]


async def test_a_page_of_ten_thousand_migrations_is_kept_up_to_date_with_little(feed: Feed) -> None:
    entries = tuple(entry(f"{number:05}", State.APPLIED) for number in range(10_000))
    feed.publish(events.Planned(Plan(entries=entries), under_lock=False))
    broadcast = Broadcast(Representations(feed))
    whole, place = broadcast._batch(None, lists=True)
    first, _ = broadcast._batch(None, lists=False)
    feed.publish(APPLIED)
    next_one, _ = broadcast._batch(place, lists=False)

    assert len(b"".join(whole)) > 1_000_000
    assert len(b"".join(first)) < 2_000
    assert len(b"".join(next_one)) < 2_000


@pytest.mark.parametrize("last", ["deadbeef-0", "", "-1", "x", "{boot}-999", "{boot}--1", "{boot}-1e3"])
async def test_an_id_of_another_process_or_of_no_event_is_answered_with_a_whole_status(
    app: Starlette, feed: Feed, serving: Serving, last: str
) -> None:
    feed.publish(entered("planning"))
    headers = {"Last-Event-ID": last.replace("{boot}", app.state.broadcast.boot)}
    async with serving(app) as port, listening(port, headers) as listener:
        first = await listener.next()

    assert first.name == "status"


async def test_an_id_older_than_the_ring_is_answered_with_a_whole_status(feed: Feed) -> None:
    broadcast = Broadcast(Representations(feed), Ring(most_events=2))
    for phase in ("planning", "migrating", "checking"):
        feed.publish(entered(phase))
    heard = await _follow(broadcast, feed, place=0)

    assert b"event: status" in heard[1]
    assert b"planning" not in heard[1]


async def _follow(broadcast: Broadcast, feed: Feed, place: int | None) -> list[bytes]:
    """What a listener at *place* is sent, up to the daemon's end."""
    written: list[bytes] = []

    async def write(piece: bytes) -> None:
        written.append(piece)
        if len(written) == 2:
            feed.publish(entered("draining"))

    with anyio.fail_after(10):
        await broadcast.follow(place, write)
    return written


def test_the_ring_keeps_no_more_events_and_bytes_than_it_may() -> None:
    few, small = Ring(most_events=10), Ring(most_bytes=1000)
    for sequence in range(1, 501):
        for ring in (few, small):
            ring.append(Entry(sequence, b"x" * 100, False))

    assert [entry.sequence for entry in few.after(490) or ()] == list(range(491, 501))
    assert few.after(489) is None
    assert small.size_bytes == 1000
    assert few.after(500) == ()


def test_an_event_larger_than_the_ring_is_not_kept() -> None:
    ring = Ring(most_bytes=1000)
    ring.append(Entry(1, b"x" * 1001, False))

    assert (ring.after(0), ring.after(1), ring.size_bytes) == (None, (), 0)


async def test_listeners_share_the_bytes_of_a_status(feed: Feed) -> None:
    broadcast = Broadcast(Representations(feed))
    feed.publish(PLANNED)
    first, _ = broadcast._batch(None)
    feed.publish(APPLIED)
    second, _ = broadcast._batch(None)

    assert first[0] is second[0]
    assert b"migration.applied" in second[1]


@given(st.lists(st.binary(max_size=200_000), max_size=6))
def test_pieces_are_small_and_lose_nothing(parts: list[bytes]) -> None:
    pieces = list(stream._pieces(parts))

    assert b"".join(pieces) == b"".join(parts)
    assert all(0 < len(piece) <= 65_536 for piece in pieces)


_EVENTS = st.sampled_from(
    [
        PLANNED, APPLIED, READY, FAILED, entered("migrating"), entered("planning"),
        events.MigrationStarted("0002", "x", "versioned", 0, 1, 3), events.StatementsRan("0002", 2, 3),
        events.MigrationFailed("0002", "no", "42601", None), events.ServerNotice("NOTICE", "x" * 300, None),
        events.Planned(Plan(entries=(entry("0003", State.PENDING),)), under_lock=True),
    ]
)  # fmt: skip


@given(rounds=st.lists(st.lists(_EVENTS, max_size=8), max_size=8), most_events=st.integers(1, 12))
def test_a_picture_that_is_kept_from_the_stream_is_the_status(
    rounds: list[list[events.Event]], most_events: int
) -> None:
    feed = Feed(Status(), now=lambda: NOW)
    broadcast = Broadcast(Representations(feed), Ring(most_events=most_events, most_bytes=3000))
    picture, place = _Picture(), None
    for published in ([], *rounds):
        for event in published:
            feed.publish(event)
        batch, place = broadcast._batch(place)
        picture.take(b"".join(batch))

    assert picture.summary == msgspec.json.decode(summary_json(feed.status))
    assert picture.states == {each.version: each.state for each in feed.status.migrations}


class _Picture:
    """What a page makes of the stream, by the rules of docs/http.md."""

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {}
        self.states: dict[str, str] = {}

    def take(self, batch: bytes) -> None:
        for frame in batch.decode().split("\n\n")[:-1]:
            name, data = (line.partition(": ")[2] for line in frame.split("\n")[-2:])
            self._take(name, msgspec.json.decode(data))

    def _take(self, name: str, data: dict[str, Any]) -> None:
        match name:
            case "status":
                self.states = {each["version"]: each["state"] for each in data.pop("migrations")}
                self.summary = data
            case "summary":
                self.summary = data
            case "migration.applied" if data["version"] in self.states:
                self.states[data["version"]] = "applied"
            case "migration.failed" if self.states.get(data["version"], "applied") != "applied":
                self.states[data["version"]] = "failed"


async def test_silence_is_filled_with_a_heartbeat(
    app: Starlette, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    async with serving(app) as port, listening(port) as listener:
        await listener.until("status")
        silence = await listener.next()

    assert silence.name == ":"


async def test_the_stream_ends_with_draining(app: Starlette, feed: Feed, serving: Serving) -> None:
    async with serving(app) as port, listening(port) as listener:
        await listener.until("status")
        feed.publish(entered("draining"))
        rest = await listener.rest()

    assert [heard.name for heard in rest] == ["phase.entered", "summary"]
    assert rest[0].data["phase"] == "draining"


async def test_many_listeners_do_not_hold_up_the_end(app: Starlette, feed: Feed, serving: Serving) -> None:
    begun: list[None] = []
    ended: list[str] = []
    all_have_begun = anyio.Event()

    async def listen(port: int) -> None:
        async with listening(port) as listener:
            await listener.until("status")
            begun.append(None)
            if len(begun) == 20:
                all_have_begun.set()
            ended.append((await listener.rest())[-1].data["phase"])

    async with anyio.create_task_group() as group, serving(app) as port:
        for _ in range(20):
            group.start_soon(listen, port)
        with anyio.fail_after(30):
            await all_have_begun.wait()
        feed.publish(entered("planning"))  # they take turns from here on
        began = anyio.current_time()
        feed.publish(entered("draining"))

    assert ended == ["draining"] * 20
    assert anyio.current_time() - began < 2


async def test_a_listener_that_has_gone_is_forgotten(app: Starlette, serving: Serving) -> None:
    async with serving(app) as port:
        async with listening(port) as listener:
            await listener.until("status")
            during = app.state.broadcast.listeners
        with anyio.fail_after(5):
            while app.state.broadcast.listeners:
                await anyio.lowlevel.checkpoint()

    assert during == 1


async def test_one_listener_too_many_is_503(
    app: Starlette, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LISTENER_LIMIT", 1)
    async with serving(app) as port, listening(port) as first, httpx.AsyncClient() as client:
        await first.until("status")
        second = await client.get(f"http://127.0.0.1:{port}/events")

    assert (second.status_code, second.headers["retry-after"]) == (503, "5")
    assert second.headers["content-type"] == "application/problem+json"


async def test_head_is_answered_without_listening(app: Starlette, serving: Serving) -> None:
    async with serving(app) as port, httpx.AsyncClient() as client:
        head = await client.head(f"http://127.0.0.1:{port}/events")

    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


async def test_a_listener_that_does_not_read_is_hung_up_on_while_others_go_on(
    app: Starlette, feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(stream, "_PAUSE_SECONDS", 0)
    notice = events.ServerNotice("NOTICE", "x" * 200_000, None)
    async with serving(app) as port, listening(port) as reading:
        await reading.until("status")
        async with await anyio.connect_tcp("127.0.0.1", port) as deaf:
            await deaf.send(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            with anyio.fail_after(20):
                while app.state.broadcast.listeners < 2:
                    await anyio.lowlevel.checkpoint()
                while app.state.broadcast.listeners == 2:
                    feed.publish(notice)
                    await reading.until("summary")
        feed.publish(READY)
        heard = await reading.until("run.ready")

    assert heard.data["applied"] == 1


def test_what_another_backend_runs_is_told_to_nobody(feed: Feed) -> None:
    heard: list[bytes] = []
    holder = LockHolder(pid=7, query="ALTER ROLE app PASSWORD 'hunter2'")
    feed.listen(lambda event, status, now: heard.append(stream.document(event, status, now)))
    feed.publish(events.LockWaited(holder, 1.0))
    feed.publish(events.MigrationStarted("0001", "x", "versioned", 0, 1, 1))
    feed.publish(events.Blocked("0001", 1.0, (holder,)))

    assert b"hunter2" not in b"".join(heard) + msgspec.json.encode(feed.status)
    assert feed.status.progress is not None
    assert feed.status.progress.blockers[0].pid == 7


def test_a_name_that_is_no_utf8_does_not_stop_the_run() -> None:
    told = stream.document(events.CheckFailed("checks/\udcff.sql", 1), Status(), NOW)

    assert msgspec.json.decode(told)["rows"] == 1


@pytest.mark.parametrize("event", events.Event.__subclasses__(), ids=stream.tag)
def test_every_event_is_one_line_of_json(event: type[events.Event]) -> None:
    made = msgspec.convert({}, event) if not event.__struct_fields__ else _sample(event)
    told = stream.document(made, Status(), NOW)

    assert b"\n" not in told
    assert msgspec.json.decode(told)["at"] == "2026-05-04T12:00:00Z"


def _sample(event: type[events.Event]) -> events.Event:
    values = dict.fromkeys(event.__struct_fields__, "a\nb")
    return event(**values)
