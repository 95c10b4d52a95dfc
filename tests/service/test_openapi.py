"""The contract, asked of the routes by schemathesis: with what it allows, and with what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.applications import Starlette

from pgready.core.inspection import Column, Inspection, Question, Relation, Totals
from pgready.core.status import Status
from pgready.service import openapi, web
from pgready.service.feed import Feed
from pgready.service.retry import Retrying
from pgready.service.web import application
from service.samples import FAILED, NOW, PLANNED, READY, entered

_TOKEN = "a-token-of-some-length"


def _app(token_file: Path, *published: Any) -> Starlette:
    feed = Feed(Status(), now=lambda: NOW)
    for event in published:
        feed.publish(event)
    token_file.write_text(_TOKEN)
    app = application(feed, retrying=Retrying(str(token_file), lambda: None))
    app.state.inspector.look = _look if feed.status.ready else None
    return app


async def _look(question: Question) -> Inspection:
    column = Column("isbn", "text", nullable=False)
    books = Relation("library", "books", "table", "ann", rows=3, size_bytes=8192, columns=(column,))
    return Inspection(
        "app",
        "18.1",
        NOW,
        offset=question.offset,
        limit=question.limit,
        totals=Totals(relations=1),
        relations=(books,),
    )


# Not among them: that a server error is a mistake (503 is an answer here).
_CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
_STATES = {
    "ready": [PLANNED, READY],
    "failed": [PLANNED, FAILED],
    "draining": [PLANNED, READY, entered("draining")],
}


def _cases() -> Iterator[tuple[str, str, GenerationMode, str]]:
    """Every route in every state, with what it allows and, where it takes anything, what it does not."""
    for resource in web.RESOURCES:
        path = resource.shown[0]
        states = ["draining"] if path == "/events" else list(_STATES)  # else it would never end
        takes = any(each["in"] == "query" for each in openapi.OPERATIONS[path].parameters)
        modes = GenerationMode if takes else [GenerationMode.POSITIVE]
        yield from ((path, resource.method, mode, state) for mode in modes for state in states)


@pytest.mark.parametrize(("path", "method", "mode", "state"), list(_cases()))
def test_the_routes_answer_what_the_contract_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    method: str,
    mode: GenerationMode,
    state: str,
) -> None:
    monkeypatch.setattr(web, "LONGEST_WAIT_SECONDS", 0.001)
    contract = schemathesis.openapi.from_asgi("/openapi.json", _app(tmp_path / "token", *_STATES[state]))

    @settings(max_examples=10, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(contract[path][method].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=_CHECKS)

    ask()


def test_every_route_is_in_the_contract() -> None:
    described = openapi.document(web.RESOURCES)["paths"]

    assert set(described) == {path for each in web.RESOURCES for path in each.shown}
    assert set(openapi.OPERATIONS) == {each.shown[0] for each in web.RESOURCES}


async def test_what_is_off_is_not_in_the_contract(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    assert "/ready" in paths
    assert "/retry" not in paths


def test_a_document_promises_all_its_fields_and_the_version_of_its_form() -> None:
    schemas = openapi.document(web.RESOURCES)["components"]["schemas"]

    for name in ("Status", "Readiness", "Migration", "Document"):
        assert schemas[name]["properties"]["schema"] == {"const": 1}
        assert schemas[name]["required"] == list(schemas[name]["properties"])
    assert "valid" not in schemas["Problem"]["required"]
