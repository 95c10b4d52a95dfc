"""The page about the schema in a real browser: light and dark, on a phone, and without JavaScript."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import expect

from browser.conftest import Visiting
from browser.stage import Daemon, Stage
from browser.test_states import PHONE
from harness.server import Server

pytestmark = pytest.mark.browser

SHOP = {
    "migrations/0008_shop.sql": """
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('open', 'paid');
CREATE TABLE shop.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES shop.customers ON DELETE CASCADE,
  state shop.state NOT NULL DEFAULT 'open',
  note text
);
COMMENT ON TABLE shop.orders IS 'What was ordered and by whom; never deleted, for the tax office asks.';
COMMENT ON TABLE shop.customers IS 'Who buys; a customer without orders is deleted after a year.';
COMMENT ON COLUMN shop.orders.note IS 'Shown to whoever packs it.';
ALTER TABLE shop.orders ADD CONSTRAINT note_is_short CHECK (length(note) < 200) NOT VALID;
INSERT INTO shop.customers (name) SELECT 'Customer ' || n FROM generate_series(1, 4000) AS n;
INSERT INTO shop.orders (customer_id) SELECT n % 4000 + 1 FROM generate_series(1, 30000) AS n;
ANALYZE shop.customers, shop.orders;
CREATE INDEX orders_customer_id ON shop.orders (customer_id);
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.orders USING (note IS NULL);
CREATE TABLE shop.visits (day date) PARTITION BY RANGE (day);
CREATE TABLE shop.visits_rest PARTITION OF shop.visits DEFAULT;
CREATE VIEW shop.open_orders AS SELECT id FROM shop.orders WHERE state = 'open';
"""
}


PATHS = [
    "/schema",
    "/schema?sort=size",
    "/schema?q=order",
    "/schema/shop.orders",
    "/schema/shop.visits",
    "/schema/shop.open_orders",
]


PICTURED = {("/schema?sort=size", "light"): "schema-light", ("/schema/shop.orders", "dark"): "table-dark"}


@pytest.fixture(scope="module")
async def daemon(
    anyio_backend: str, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Daemon]:
    async with Stage.built(server, tmp_path_factory.mktemp("schema")) as stage:
        serving = await stage.serve(SHOP)
        await serving.running.wait_for("run.ready")
        yield serving


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("context", [{}, PHONE], ids=["desk", "phone"])
async def test_it_is_accessible_and_fits(
    daemon: Daemon, visiting: Visiting, path: str, scheme: str, context: dict[str, object]
) -> None:
    async with visiting(daemon, path, color_scheme=scheme, **context) as visitor:
        found = await Axe().run(visitor.page)
        overflows = await visitor.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        if not context and (path, scheme) in PICTURED:
            await visitor.shoot(PICTURED[path, scheme])

    assert found.response["violations"] == []
    assert not overflows


async def test_typing_hides_what_does_not_fit_at_once(daemon: Daemon, visiting: Visiting) -> None:
    async with visiting(daemon, "/schema") as visitor:
        await visitor.page.keyboard.press("/")
        await visitor.page.keyboard.type("customer_id")

        await expect(visitor.page.locator("#relations > tr:visible")).to_have_count(1)
        await expect(visitor.page.locator("#relations > tr:visible a")).to_have_text("shop.orders")
        await expect(visitor.page.locator("#shown")).to_contain_text("1 of the 11 on this page")


async def test_a_foreign_key_leads_to_its_table(daemon: Daemon, visiting: Visiting) -> None:
    async with visiting(daemon, "/schema/shop.orders/") as visitor:
        await visitor.page.get_by_role("link", name="→ shop.customers.id").click()

        await expect(visitor.page.locator("h1")).to_have_text("shop.customers")
        await expect(visitor.page.locator("main")).to_contain_text("on delete cascade")


async def test_without_a_script_it_is_searched_by_its_form(daemon: Daemon, visiting: Visiting) -> None:
    async with visiting(daemon, "/schema", java_script_enabled=False) as visitor:
        await visitor.page.get_by_role("searchbox").fill("customer_id")
        await visitor.page.get_by_role("button", name="Search").click()

        await expect(visitor.page.locator("#relations > tr")).to_have_count(1)
        await visitor.page.locator("#relations a").first.click()
        await expect(visitor.page.locator("h1")).to_have_text("shop.orders")
        await expect(visitor.page.locator(".lede")).to_have_text(
            "What was ordered and by whom; never deleted, for the tax office asks."
        )


async def test_the_page_of_the_run_leads_here_and_back(daemon: Daemon, visiting: Visiting) -> None:
    async with visiting(daemon, "/") as visitor:
        await visitor.page.get_by_role("link", name="Schema").click()
        await expect(visitor.page.locator("h1")).to_have_text("media")
        await visitor.page.get_by_role("link", name="Migrations").click()

        await visitor.sees("Ready")
