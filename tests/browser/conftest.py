"""A real browser, and a real daemon for it to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from browser.stage import Daemon
from browser.visitor import Visitor

Visiting = Callable[..., AbstractAsyncContextManager[Visitor]]


@pytest.fixture(scope="session")
async def chromium(anyio_backend: str) -> AsyncIterator[Browser]:
    """Debian's Chromium. Its sandbox needs a user that is not root."""
    path = shutil.which("chromium")
    assert path is not None, "apt-get install chromium"
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        await browser.close()


@pytest.fixture
def visiting(chromium: Browser) -> Visiting:
    """`async with visiting(daemon, path, **context) as visitor`; fails where the page did something wrong."""

    @asynccontextmanager
    async def visit(daemon: Daemon, path: str = "/", **context: Any) -> AsyncIterator[Visitor]:
        opened = await chromium.new_context(**{"viewport": {"width": 1120, "height": 840}, **context})
        try:
            visitor = Visitor(await opened.new_page(), daemon.url)
            await visitor.page.goto(daemon.url + path)
            yield visitor
            assert visitor.wrong == []
        finally:
            await opened.close()

    return visit
