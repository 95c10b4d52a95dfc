"""One page, opened once, through whole runs; and what it keeps of whoever reads it."""

from __future__ import annotations

import itertools
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Request, expect

from browser.conftest import Visiting
from browser.stage import BLOCKED, BROKEN, INDEX, PAST, Relay, Stage
from harness.server import Server
from pgready.database import lock
from pgready.dialects.native import HISTORY

pytestmark = pytest.mark.browser

ICON = "document.getElementById('icon').href"


@pytest.fixture
async def stage(anyio_backend: str, server: Server, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.built(server, tmp_path) as built:
        yield built


async def test_a_page_follows_a_whole_run_without_being_loaded_again(
    stage: Stage, visiting: Visiting
) -> None:
    async with anyio.create_task_group() as group:
        relay = Relay(stage.server, group)
        daemon = await stage.serve(INDEX, url=relay.url(stage.media))
        async with visiting(daemon) as visitor, stage.another("rival") as rival:
            loads: list[object] = []
            icons: list[str] = []
            visitor.page.on("load", lambda page: loads.append(page))  # noqa: PLW0108 -- playwright marks it

            await visitor.sees("Connecting")
            await visitor.reads("attempts so far")
            icons.append(await visitor.page.evaluate(ICON))

            await rival.fetchval("SELECT pg_advisory_lock($1)", lock.keys_for(HISTORY).main)
            await relay.open()
            await visitor.sees("Waiting for the lock")
            await visitor.reads("rival")
            icons.append(await visitor.page.evaluate(ICON))

            await rival.execute("SELECT pg_advisory_unlock_all()")
            await visitor.sees("Migrating")
            await visitor.reads("CREATE INDEX CONCURRENTLY on titles: building index")

            await visitor.sees("Ready", seconds=60)
            await visitor.reads("All 10 migrations are applied, 3 of them by this run")
            icons.append(await visitor.page.evaluate(ICON))

            assert loads == []
            assert len(set(icons)) == 3
        group.cancel_scope.cancel()


async def test_a_page_tells_of_a_database_that_is_lost_and_back_again(
    stage: Stage, visiting: Visiting
) -> None:
    async with anyio.create_task_group() as group:
        relay = Relay(stage.server, group)
        await relay.open()
        daemon = await stage.serve({}, url=relay.url(stage.media))
        async with visiting(daemon) as visitor:
            await visitor.sees("Ready")

            relay.close()
            await visitor.sees("Ready, database away")
            await relay.open()

            await visitor.sees("Ready", seconds=60)
        group.cancel_scope.cancel()


async def test_a_failure_that_is_mended_becomes_ready_on_the_same_page(
    stage: Stage, visiting: Visiting
) -> None:
    daemon = await stage.serve(BROKEN)
    async with visiting(daemon) as visitor:
        await visitor.sees("Failed")

        stage.write("migrations/0009_shelf.sql", "CREATE VIEW shelf AS SELECT id FROM titles;")

        await visitor.sees("Ready", seconds=60)


async def test_a_wait_for_a_table_names_who_holds_it_and_ends_with_it(
    stage: Stage, visiting: Visiting
) -> None:
    async with stage.another("psql") as other:
        await other.execute("BEGIN; SELECT FROM accounts_and_profiles")
        daemon = await stage.serve(BLOCKED)
        async with visiting(daemon) as visitor:
            await visitor.sees("Waiting for a table lock")
            await visitor.reads("idle in transaction")

            await other.execute("ROLLBACK")

            await visitor.sees("Ready")


async def test_a_failure_shows_the_line_with_a_caret(stage: Stage, visiting: Visiting) -> None:
    daemon = await stage.serve(BROKEN)
    async with visiting(daemon) as visitor:
        await visitor.reads("migrations/0009_shelf.sql:3:19")  # the phase is told before why

        lines = await visitor.page.locator(".excerpt .line").all_text_contents()
        assert lines[0].endswith("SELECT titles.id, titles.name FROM titles JOIN genres USING (id);")
        assert lines[1].index("^") == lines[0].index("titles.name")


async def test_the_reader_keeps_focus_scroll_and_what_is_open(stage: Stage, visiting: Visiting) -> None:
    notes = {"migrations/0008_note.sql": "DO $$ BEGIN RAISE NOTICE 'noted'; END $$;"}
    async with stage.another("psql") as other:
        await other.execute("BEGIN; SELECT FROM accounts_and_profiles")
        daemon = await stage.serve(notes | {
            "migrations/0009_x.sql": "ALTER TABLE accounts_and_profiles ADD x integer;"
        })  # fmt: skip
        async with visiting(daemon, viewport={"width": 900, "height": 400}) as visitor:
            await visitor.sees("Waiting for a table lock")
            page = visitor.page
            await page.locator("summary").click()
            await page.locator('a[href="./migrations/0002"]').focus()
            await page.evaluate("window.scrollTo(0, 300)")

            await other.execute("ROLLBACK")
            await visitor.sees("Ready")

            focused = await page.evaluate("document.activeElement.getAttribute('href')")
            assert (focused or "").startswith("./migrations/")
            assert await page.evaluate("document.querySelector('details').open")
            assert await page.evaluate("window.scrollY") > 0


async def test_a_page_whose_daemon_is_gone_says_so(stage: Stage, visiting: Visiting) -> None:
    daemon = await stage.serve({})
    async with visiting(daemon) as visitor:
        await visitor.sees("Ready")

        daemon.running.signal(signal.SIGKILL)

        await expect(visitor.page.locator("#stale")).to_be_visible(timeout=20_000)
        visitor.wrong.clear()  # that a request failed is what this is about


async def test_everything_is_reached_by_the_keyboard_and_its_focus_is_seen(
    stage: Stage, visiting: Visiting
) -> None:
    daemon = await stage.serve({})
    async with visiting(daemon) as visitor:
        await visitor.sees("Ready")
        page = visitor.page
        wanted = await page.locator("a, summary, [tabindex='0']").count()

        outlines = []
        for _ in range(wanted):
            await page.keyboard.press("Tab")
            style = "(({outlineStyle, outlineWidth}) => outlineStyle + outlineWidth)"
            outlines.append(await page.evaluate(f"{style}(getComputedStyle(document.activeElement))"))
            assert await page.evaluate("document.activeElement !== document.body")

        assert set(outlines) == {"solid2px"}


async def test_the_first_tab_leads_past_everything_to_the_list(stage: Stage, visiting: Visiting) -> None:
    daemon = await stage.serve({})
    async with visiting(daemon) as visitor:
        await visitor.sees("Ready")
        await visitor.page.keyboard.press("Tab")
        await expect(visitor.page.get_by_text("Skip to the migrations")).to_be_in_viewport()

        await visitor.page.keyboard.press("Enter")

        assert await visitor.page.evaluate("document.activeElement.id") == "migrations"


async def test_a_migration_has_a_page_with_its_sql_where_that_is_asked_for(
    stage: Stage, visiting: Visiting
) -> None:
    daemon = await stage.serve({}, "--show-sql", "true")
    async with visiting(daemon) as visitor:
        await visitor.sees("Ready")

        await visitor.page.get_by_role("link", name="0003 genres").click()

        await visitor.reads(PAST["migrations/0003_genres.sql"])


async def test_a_long_list_is_read_page_by_page_and_narrowed(stage: Stage, visiting: Visiting) -> None:
    many = {f"migrations/{number:04}_note.sql": f"SELECT {number}" for number in range(8, 251)}
    daemon = await stage.serve(many)
    async with visiting(daemon) as visitor:
        await visitor.sees("Ready", seconds=60)
        await visitor.reads("1 to 100 of 250, newest first")

        await visitor.page.get_by_role("link", name="Older").click()
        await visitor.reads("101 to 200 of 250, newest first")
        assert (await Axe().run(visitor.page)).response["violations"] == []

        await visitor.page.get_by_role("link", name="pending 0").click()
        await visitor.reads("None that fits.")


async def test_a_run_that_tells_much_is_not_asked_for_more_than_four_times_a_second(
    stage: Stage, visiting: Visiting
) -> None:
    many = {f"migrations/{number:04}_note.sql": "SELECT pg_sleep(0.02)" for number in range(8, 101)}
    async with stage.another("rival") as rival:
        await rival.fetchval("SELECT pg_advisory_lock($1)", lock.keys_for(HISTORY).main)
        daemon = await stage.serve(many)
        async with visiting(daemon) as visitor:
            await visitor.sees("Waiting for the lock")
            asked: list[Request] = []
            visitor.page.on("requestfinished", lambda request: asked.append(request))  # noqa: PLW0108
            await rival.execute("SELECT pg_advisory_unlock_all()")
            await visitor.sees("Ready", seconds=60)

            began_ms = sorted(each.timing["startTime"] for each in asked if each.resource_type == "fetch")
            assert len(began_ms) > 3
            assert min(after - before for before, after in itertools.pairwise(began_ms)) >= 240


async def test_axe_finds_nothing_on_the_page_of_a_migration(stage: Stage, visiting: Visiting) -> None:
    daemon = await stage.serve({}, "--show-sql", "true")
    async with visiting(daemon) as visitor:
        await visitor.reads("genres")  # before that, no version is known
        await visitor.page.goto(f"{daemon.url}/migrations/0003")
        await visitor.reads("CREATE TABLE genres")

        found = await Axe().run(visitor.page)

        assert found.response["violations"] == [], found.generate_report()
