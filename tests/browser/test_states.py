"""Every state of a real daemon, as it is seen: light and dark, on a phone, without JavaScript, by axe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import expect

from browser.conftest import Visiting
from browser.stage import STATES, Daemon, Stage
from browser.visitor import Visitor
from harness.server import Server

pytestmark = pytest.mark.browser

PHONE = {
    "viewport": {"width": 375, "height": 812},
    "device_scale_factor": 1.5,
    "is_mobile": True,
    "has_touch": True,
}


class Scene(NamedTuple):
    daemon: Daemon
    name: str
    word: str
    detail: str


@pytest.fixture(scope="module", params=STATES)
async def scene(
    anyio_backend: str,
    server: Server,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Scene]:
    """A daemon in that state; one for all the tests that look at it."""
    play, word, detail = STATES[request.param]
    async with Stage.built(server, tmp_path_factory.mktemp(request.param)) as stage, play(stage) as daemon:
        yield Scene(daemon, request.param, word, detail)


async def seen(visitor: Visitor, scene: Scene) -> None:
    await visitor.sees(scene.word)
    await visitor.reads(scene.detail)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(visiting: Visiting, scene: Scene, scheme: str) -> None:
    async with visiting(scene.daemon, color_scheme=scheme) as visitor:
        await seen(visitor, scene)
        await visitor.shoot(f"{scene.name}-{scheme}")

        found = await Axe().run(visitor.page)

        assert found.response["violations"] == [], found.generate_report()


async def test_a_phone_has_no_need_to_scroll_sideways(visiting: Visiting, scene: Scene) -> None:
    async with visiting(scene.daemon, **PHONE) as visitor:
        await seen(visitor, scene)
        await visitor.shoot(f"{scene.name}-phone")

        wide = await visitor.page.evaluate("document.documentElement.scrollWidth")

        assert wide <= PHONE["viewport"]["width"]  # type: ignore[index]


async def test_the_tab_says_the_state(visiting: Visiting, scene: Scene) -> None:
    async with visiting(scene.daemon) as visitor:
        await seen(visitor, scene)

        assert (await visitor.page.title()).startswith(scene.word)


async def test_without_javascript_the_same_is_said_and_kept_fresh(visiting: Visiting, scene: Scene) -> None:
    async with visiting(scene.daemon, java_script_enabled=False) as visitor:
        async with visitor.page.expect_event("load", timeout=20_000):
            pass  # it has loaded itself again

        # Between two tries for a table it may have loaded what is so for a moment.
        await expect(visitor.page.locator("h1")).to_have_text(scene.word, timeout=20_000)
        await expect(visitor.page.locator("main")).to_contain_text(scene.detail)
