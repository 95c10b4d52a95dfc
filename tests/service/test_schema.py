"""`/schema` over a look that is not a database's: what is asked, how often, and how it is rendered."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
import httpx
import pytest

from pgready.core.errors import Unreachable
from pgready.core.inspection import Column, Inspection, Question, Relation, Sort, Totals
from pgready.service import inspector, schema
from pgready.service.feed import Feed
from pgready.service.web import application

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
BOOKS = Relation(
    "library", "books", "table", "ann", comment="<script>alert(1)</script>", rows=3, size_bytes=8192,
    columns=(Column("isbn", "text", False, default="'<b>'"),),
)  # fmt: skip
HTML = {"Accept": "text/html"}


class Looking:
    """Answers every question with the same inspection and keeps the questions."""

    def __init__(self, *relations: Relation, matching: int = 0) -> None:
        self.questions: list[Question] = []
        self.may_answer = anyio.Event()
        self.may_answer.set()
        self._relations = relations
        self._matching = matching or len(relations)

    async def __call__(self, question: Question) -> Inspection:
        self.questions.append(question)
        await self.may_answer.wait()
        totals = Totals(relations=self._matching)
        return Inspection(
            "app", "18.1", NOON, offset=question.offset, limit=question.limit, totals=totals,
            relations=self._relations,
        )  # fmt: skip


def client(feed: Feed, look: inspector.Look | None) -> httpx.AsyncClient:
    app = application(feed)
    app.state.inspector.look = look
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://daemon")


async def test_json_is_the_document_of_the_command(feed: Feed) -> None:
    async with client(feed, Looking(BOOKS)) as http:
        answer = await http.get("/schema")

    document = answer.json()
    assert answer.status_code == 200
    assert list(document)[:3] == ["schema", "database", "server_version"]
    assert document["relations"][0]["columns"][0]["name"] == "isbn"


async def test_text_is_the_overview_or_one_table(feed: Feed) -> None:
    async with client(feed, Looking(BOOKS)) as http:
        overview = await http.get("/schema?format=text")
        detail = await http.get("/schema/library.books", headers={"Accept": "text/plain"})

    assert overview.text.startswith("app · PostgreSQL 18.1")
    assert detail.text.startswith("library.books · table · owner ann")


async def test_a_request_becomes_a_question(feed: Feed) -> None:
    look = Looking(BOOKS)
    async with client(feed, look) as http:
        await http.get("/schema?q=%20Two%20words%00&schema=library&sort=size&page=3&limit=10&system")
        await http.get("/schema/library.books/")

    assert look.questions == [
        Question(None, ("Two", "words"), "library", True, Sort.SIZE, 10, 20),
        Question("library.books", limit=schema.MOST_ROWS),
    ]


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "limit=501", "limit=-1", "sort=age", "format=xml", "page=²"]
)
async def test_what_cannot_be_asked_is_a_problem(query: str, feed: Feed) -> None:
    look = Looking(BOOKS)
    async with client(feed, look) as http:
        answer = await http.get(f"/schema?{query}")

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert look.questions == []


@pytest.mark.parametrize("accept", ["application/json", "text/plain", "text/html"])
async def test_a_table_that_there_is_not_is_404(accept: str, feed: Feed) -> None:
    async with client(feed, Looking()) as http:
        answer = await http.get("/schema/<nothing>", headers={"Accept": accept})

    assert answer.status_code == 404
    assert "nothing>" not in answer.text


async def test_without_a_target_and_without_a_server_it_is_503_with_the_reason(feed: Feed) -> None:
    async def unreachable(_: Question) -> Inspection:
        raise Unreachable("postgresql://u:***@h/d: refused")

    async with client(feed, None) as http:
        early = await http.get("/schema")
    async with client(feed, unreachable) as http:
        away = await http.get("/schema")

    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert (away.status_code, away.json()["detail"]) == (503, "postgresql://u:***@h/d: refused")


async def test_the_same_question_within_seconds_is_asked_once(feed: Feed) -> None:
    look = Looking(BOOKS)
    async with client(feed, look) as http:
        for accept in ("text/html", "application/json", "text/html"):
            await http.get("/schema", headers={"Accept": accept})

    assert len(look.questions) == 1


async def test_one_look_is_under_way_at_a_time_and_those_that_queue_share_it(feed: Feed) -> None:
    look = Looking(BOOKS)
    look.may_answer = anyio.Event()
    answers: list[int] = []
    async with client(feed, look) as http, anyio.create_task_group() as group:

        async def ask() -> None:
            answers.append((await http.get("/schema")).status_code)

        for _ in range(inspector.WAITER_LIMIT + 5):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        turned_away = list(answers)
        look.may_answer.set()

    assert turned_away == [503] * 4
    assert sorted(answers) == [200] * (inspector.WAITER_LIMIT + 1) + [503] * 4
    assert len(look.questions) == 1


async def test_the_page_escapes_what_people_write_into_a_schema(feed: Feed) -> None:
    async with client(feed, Looking(BOOKS)) as http:
        overview = await http.get("/schema?q=%22%3E%3Cimg%20src%3Dx%3E", headers=HTML)
        detail = await http.get("/schema/books", headers=HTML)

    for page in (overview, detail):
        assert "<script>alert" not in page.text and "<img" not in page.text and "<b>'" not in page.text
        assert page.headers["content-security-policy"] == schema.policy()
    assert "&lt;script&gt;alert(1)" in overview.text


async def test_the_content_policy_names_the_style_and_the_script_of_the_page(feed: Feed) -> None:
    async with client(feed, Looking(BOOKS)) as http:
        page = (await http.get("/schema", headers=HTML)).text

    style, script = (page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0] for tag in ("style", "script"))
    from pgready.service.page import hashed

    assert f"style-src '{hashed(style)}'" in schema.policy()
    assert f"script-src '{hashed(script)}'" in schema.policy()


async def test_pages_lead_on_with_the_same_search(feed: Feed) -> None:
    async with client(feed, Looking(BOOKS, matching=10_000)) as http:
        page = (await http.get("/schema?q=isbn&sort=rows&page=2", headers=HTML)).text

    assert 'href="?q=isbn&amp;sort=rows&amp;page=3"' in page
    assert 'rel="prev" href="?q=isbn&amp;sort=rows"' in page
    assert "101 to 101 of 10,000" in page


async def test_links_are_relative_to_where_the_page_is(feed: Feed) -> None:
    async with client(feed, Looking(BOOKS)) as http:
        overview = (await http.get("/schema", headers=HTML)).text
        detail = (await http.get("/schema/library.books", headers=HTML)).text

    assert 'href="./schema/library.books"' in overview
    assert 'href="../schema"' in detail


@pytest.mark.parametrize("path", ["/schema", "/schema/", "/schema/library.books"])
async def test_where_it_is_switched_off_there_is_none(feed: Feed, path: str) -> None:
    app = application(feed, shows_schema=False)
    app.state.inspector.look = look = Looking(BOOKS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://daemon") as http:
        answer = await http.get(path)
        page = await http.get("/", headers=HTML)
        contract = await http.get("/openapi.json")

    assert (answer.status_code, look.questions) == (404, [])
    assert "/schema" not in answer.json()["detail"]
    assert 'href="./schema"' not in page.text
    assert [each for each in contract.json()["paths"] if each.startswith("/schema")] == []
