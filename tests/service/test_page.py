"""The page as it is rendered: what it says, what it escapes, and what it costs."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import time
from datetime import timedelta

import httpx
import pytest

from pgready.core import events
from pgready.core.errors import Place
from pgready.core.model import Kind, LockHolder, Operation
from pgready.core.phases import Phase
from pgready.core.planning import Counts, Entry, Flag, Plan, State
from pgready.core.status import Attempts, MigrationStatus, Status, initial
from pgready.service import page, scene, wording
from pgready.service.feed import Feed
from pgready.service.listing import ROWS, Wish, listed
from service.samples import NOW, PLANNED, READY, entered, entry

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
STARTED = events.MigrationStarted("0002", "x", "versioned", 0, 1, 8)


async def shown(client: httpx.AsyncClient, path: str = "/") -> str:
    response = await client.get(path, headers=BROWSER)
    assert response.status_code == 200
    return response.text


@pytest.mark.parametrize("path", ["/", "/migrations", "/migrations/", "/migrations?state=pending"])
async def test_a_browser_gets_a_page(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers=BROWSER)

    assert response.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("json", "application/json"),
        ("text", "text/plain; charset=utf-8"),
        ("html", "text/html; charset=utf-8"),
    ],
)
async def test_the_form_in_the_address_goes_before_accept(
    client: httpx.AsyncClient, form: str, expected: str
) -> None:
    response = await client.get(f"/migrations?format={form}", headers=BROWSER)

    assert response.headers["content-type"] == expected


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "page=9999999999", "flag=odd", "format=pdf"]
)
async def test_what_cannot_be_shown_is_400(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/?{query}", headers=BROWSER)).status_code == 400


async def test_a_version_that_there_is_not_is_404(client: httpx.AsyncClient) -> None:
    assert (await client.get("/migrations/9", headers=BROWSER)).status_code == 404


async def test_the_policy_allows_exactly_the_style_and_the_script_that_are_there(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/", headers=BROWSER)

    allowed = set(re.findall(r"'(sha256-[^']+)'", response.headers["content-security-policy"]))
    inline = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", response.text, re.DOTALL)
    hashes = {
        f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}" for text in inline
    }
    assert allowed == hashes
    assert len(inline) == 2


async def test_the_page_asks_for_nothing_else(client: httpx.AsyncClient) -> None:
    text = await shown(client)

    loaded = re.findall(r'(?:src|href|action|url)\s*[=(]\s*"?(?!#|\./|\?|data:)([^">)]+)', text)
    assert loaded == []
    assert 'style="' not in text


async def test_markup_in_what_others_wrote_is_shown_as_text(client: httpx.AsyncClient, feed: Feed) -> None:
    evil = "</pre><script>alert(1)</script>"
    feed.publish(PLANNED)
    feed.publish(entered("migrating"))
    feed.publish(STARTED)
    feed.publish(events.Blocked("0002", 1.0, (LockHolder(1, evil, evil, None, evil),)))
    feed.publish(events.OperationProgressed("0002", Operation(evil, evil, evil, 1, 2)))
    feed.publish(events.ServerNotice("NOTICE", evil, None))
    feed.publish(events.LockWaited(LockHolder(1, evil), 1.0))
    during = await shown(client)
    feed.publish(events.RunFailed(evil, evil, 1, Place(evil, 1, 1, evil), evil, evil, evil))

    after = await shown(client)

    assert evil not in during + after
    assert "&lt;script&gt;" in after


async def test_the_line_that_failed_has_a_caret_below_its_column(
    client: httpx.AsyncClient, feed: Feed
) -> None:
    feed.publish(events.RunFailed("no such table", None, 1, Place("0002_x.sql", 3, 5, "DROP nothing;")))

    text = re.sub("<[^>]*>", "", await shown(client))

    assert "    3 DROP nothing;          ^" in text


async def test_links_lead_to_the_root_from_wherever_the_page_is(
    client: httpx.AsyncClient, feed: Feed
) -> None:
    feed.publish(PLANNED)

    assert 'href="./metrics"' in await shown(client, "/")
    assert 'href="../metrics"' in await shown(client, "/migrations/")
    assert 'href="../metrics"' in await shown(client, "/migrations/0001")


async def test_scripts_are_kept_to_ourselves(client: httpx.AsyncClient, feed: Feed) -> None:
    feed.publish(PLANNED)

    text = await shown(client, "/migrations/0001")

    assert "SELECT 1" not in text
    assert "PGREADY_SHOW_SQL" in text


def test_scripts_are_shown_where_they_are_asked_for(feed: Feed) -> None:
    pages = page.Pages(feed, set())
    feed.publish(PLANNED)
    pages.note(PLANNED)

    assert b"SELECT 1" in (pages.render(Wish(version="0001")) or b"")


@pytest.mark.parametrize("phase", list(Phase))
async def test_every_phase_has_a_page_with_a_title_and_an_icon(
    client: httpx.AsyncClient, feed: Feed, phase: Phase
) -> None:
    feed.publish(entered(phase.value))

    text = await shown(client)

    word = scene.looks(feed.status).word
    assert f"<title>{word} · pgready</title>" in text
    assert f'<h1 aria-live="polite">{word}</h1>' in text
    assert '<link rel="icon" id="icon" href="data:image/svg+xml,' in text


def test_states_differ_in_shape_and_not_in_colour_alone() -> None:
    kinds = {
        (look.tone, look.glyph) for look in map(scene.looks, (Status(phase=each.value) for each in Phase))
    }
    tones = {tone for tone, _ in kinds}

    assert len(kinds) == len(tones) == len({glyph for _, glyph in kinds})


def test_a_wait_for_a_table_is_seen_at_a_glance(feed: Feed) -> None:
    for event in (entered("migrating"), STARTED, events.Blocked("0002", 1.0, (LockHolder(1),))):
        feed.publish(event)

    assert scene.looks(feed.status).word == "Waiting for a table lock"


def test_ready_without_its_database_warns_and_says_why(feed: Feed) -> None:
    feed.publish(READY)
    feed.publish(events.RunFailed("nobody answers", None, 3))

    assert scene.looks(feed.status).tone == "warn"
    assert "nobody answers" in scene.lede(feed.status)


def test_ready_while_its_database_is_away_warns_and_says_why(feed: Feed) -> None:
    feed.publish(READY)
    feed.publish(events.DatabaseLost("it shut down"))

    assert scene.looks(feed.status).tone == "warn"
    assert "it shut down" in scene.lede(feed.status)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status(phase="ready"), "There is nothing to apply."),
        (Status(phase="ready", counts=Counts(total=1, applied=1)), "The one migration is applied."),
        (Status(phase="ready", counts=Counts(total=9, applied=9)), "All 9 migrations are applied."),
        (Status(phase="connecting", attempts=Attempts(2, "refused")), "2 attempts so far. Refused."),
        (Status(phase="connecting", attempts=Attempts(1, "refused")), "1 attempt so far. Refused."),
    ],
)
def test_one_sentence_says_what_is_going_on(status: Status, said: str) -> None:
    assert scene.lede(status).startswith(said)


def test_a_failed_run_shows_the_phase_in_which_it_failed() -> None:
    steps = dict(scene.steps(Status(phase="failed"), Phase.MIGRATING))

    assert (steps["planning"], steps["migrating"], steps["checking"]) == ("done", "failed", "ahead")


# The list


def planned(count: int) -> events.Planned:
    return events.Planned(
        Plan(tuple(entry(f"{n:05}", State.APPLIED) for n in range(count))), under_lock=False
    )


def versions(migrations: tuple[MigrationStatus, ...]) -> list[str]:
    return [each.version for each in migrations]


def test_the_list_is_newest_first_a_hundred_at_a_time(feed: Feed) -> None:
    feed.publish(planned(250))

    first, last = (listed(feed.status, Wish(number=number)) for number in (1, 3))

    assert (len(first.rows), first.rows[0].version) == (ROWS, "00249")
    assert (first.newer, first.older) == (None, "?page=2")
    assert (len(last.rows), last.rows[-1].version) == (50, "00000")
    assert (last.newer, last.older) == ("?page=2", None)


def test_a_page_behind_the_last_is_the_last(feed: Feed) -> None:
    feed.publish(planned(150))

    assert listed(feed.status, Wish(number=99)).first == 101


def test_flags_are_another_question_than_states(feed: Feed) -> None:
    entries = (
        entry("1", State.APPLIED),
        Entry("2", "x", Kind.VERSIONED, State.APPLIED, (Flag.CHANGED,)),
        Entry("3", "x", Kind.VERSIONED, State.PENDING, (Flag.OUT_OF_ORDER,)),
    )
    feed.publish(events.Planned(Plan(entries), under_lock=False))

    everything = listed(feed.status, Wish())
    changed = listed(feed.status, Wish(flags=frozenset({"changed"})))

    assert [(name, many) for name, many, _, _ in everything.filters] == [
        ("all", 3),
        ("applied", 2),
        ("pending", 1),
    ]
    assert [(name, many) for name, many, _, _ in everything.flags] == [("out of order", 1), ("changed", 1)]
    assert versions(changed.rows) == ["2"]


async def test_a_filter_by_flag_holds_for_every_representation(client: httpx.AsyncClient, feed: Feed) -> None:
    flagged = Entry("2", "x", Kind.VERSIONED, State.APPLIED, (Flag.CHANGED,))
    feed.publish(events.Planned(Plan((entry("1", State.APPLIED), flagged)), under_lock=False))

    body = (await client.get("/migrations?flag=changed")).json()

    assert [each["version"] for each in body["migrations"]] == ["2"]


def test_ten_thousand_migrations_are_rendered_in_little_time_and_space(feed: Feed) -> None:
    pages = page.Pages(feed, set())
    pages.render(Wish())  # the templates are compiled once
    feed.publish(planned(10_000))

    began = time.perf_counter()
    body = pages.render(Wish()) or b""

    assert time.perf_counter() - began < 0.5
    assert len(body) < 200_000
    assert b"1 to 100 of 10,000, newest first" in body


def test_the_same_second_of_the_same_status_is_rendered_once(feed: Feed) -> None:
    pages = page.Pages(feed, set())

    first = pages.render(Wish())
    again = pages.render(Wish())
    feed.publish(PLANNED)

    assert again is first
    assert pages.render(Wish()) != first


def test_a_second_later_the_page_knows_it() -> None:
    now = [NOW]
    feed = Feed(initial(started_at=NOW), now=lambda: now[0])
    pages = page.Pages(feed, set())
    first = pages.render(Wish())

    now[0] = NOW + timedelta(seconds=61)

    assert b">0:00</time>" in (first or b"")
    assert b">1:01</time>" in (pages.render(Wish()) or b"")


# Words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (42.9, "0:42"), (725, "12:05"), (7389, "2:03:09"), (90_000, "1 d 1 h")],
)
def test_time_that_has_passed_is_a_clock(seconds: float, text: str) -> None:
    assert wording.clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (12, "12 s ago"),
        (90, "1 min ago"),
        (7300, "2 h ago"),
        (86_400, "1 day ago"),
        (200_000, "2 days ago"),
        (40 * 86_400, "1 month ago"),
        (800 * 86_400, "2 years ago"),
    ],
)
def test_a_moment_is_told_by_its_distance(seconds: int, text: str) -> None:
    assert wording.ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(23, "23 ms"), (1400, "1.4 s"), (125_000, "2 min 5 s"), (3_780_000, "1 h 3 min")],
)
def test_a_duration_has_the_unit_that_fits(duration_ms: int, text: str) -> None:
    assert wording.took(duration_ms) == text


def test_the_template_engine_is_loaded_by_the_first_who_looks() -> None:
    loaded = "import sys, pgready.service.web; sys.exit('jinja2' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
