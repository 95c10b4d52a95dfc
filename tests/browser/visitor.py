"""Somebody who looks at the page, and notes what a page must not do."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.async_api import ConsoleMessage, Page, Request, expect

PICTURES = frozenset(
    {"migrating-light", "migrating-dark", "failed-dark", "ready-light", "ready-dark"}
    | {"waiting-light", "blocked-dark", "connecting-light", "migrating-phone", "failed-phone", "ready-phone"}
    | {"schema-light", "table-dark"}
)
"""Those that the documents show."""

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SCREENSHOTS = "PGREADY_TEST_SCREENSHOTS"


class Visitor:
    """*wrong* lists errors in the console, errors of scripts, and requests to anybody but *url*."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.wrong: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        page.on("request", self._requested)

    async def sees(self, state: str, seconds: float = 20) -> None:
        """Wait until the page shows *state*."""
        await expect(self.page.locator("h1")).to_have_text(state, timeout=1000 * seconds)

    async def reads(self, text: str, seconds: float = 20) -> None:
        """Wait until *text* stands in what is visible."""
        await expect(self.page.locator("main")).to_contain_text(text, timeout=1000 * seconds)

    async def shoot(self, name: str) -> None:
        """Write a picture for the docs, where they are asked for."""
        if os.environ.get(SCREENSHOTS) and name in PICTURES:
            # A clock that stands at 0:00 looks like one that does not go.
            await expect(self.page.locator(".elapsed")).not_to_contain_text(
                re.compile("0:0[0-6]"), timeout=20_000
            )
            IMAGES.mkdir(exist_ok=True)
            await self.page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.wrong.append(f"request: {request.url}")
