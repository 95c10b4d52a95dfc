"""`/openapi.json`: the contract of the routes, made of the types that they render.

A description that is written beside the code lies sooner or later, so schemas come from the structs, the
values of parameters from the code that reads them, and a test asks every route what is described here.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from pgready import __version__
from pgready.core.inspection import Document, Sort
from pgready.core.planning import Flag, State
from pgready.core.status import MigrationStatus, Status
from pgready.service import checks, schema
from pgready.service.problems import HTML, JSON, PROBLEM, TEXT, Problem
from pgready.service.resources import Resource

OPENMETRICS = "application/openmetrics-text"
EVENTS = "text/event-stream"

_FIELDS = [(name, kind) for name, kind in typing.get_type_hints(Status).items() if name != "roster"]
_WHOLE = msgspec.defstruct("Status", [*_FIELDS, ("migrations", tuple[MigrationStatus, ...])])
_SUMMARY = msgspec.defstruct("Readiness", _FIELDS)
_ONE = msgspec.defstruct("Migration", [("schema", int), *typing.get_type_hints(MigrationStatus).items()])
_LIVE = msgspec.defstruct("Live", [("live", bool)])
_VERSIONED = frozenset(kind.__name__ for kind in (_WHOLE, _SUMMARY, _ONE, Document))
_ACCEPTED = msgspec.defstruct("Accepted", [("accepted", bool)])


class Operation(Struct, frozen=True):
    """What a route does: its answers by status (a media type for each; a struct where it is JSON)."""

    summary: str
    answers: Mapping[int, Mapping[str, type | None]]
    parameters: tuple[Mapping[str, Any], ...] = ()
    security: bool = False


def _query(name: str, meaning: str, form: Mapping[str, Any], *, repeated: bool = False) -> Mapping[str, Any]:
    shape = {"type": "array", "items": form} if repeated else form
    return {"name": name, "in": "query", "description": meaning, "schema": shape}


def _one_of(name: str, meaning: str, values: Iterable[str], *, repeated: bool = True) -> Mapping[str, Any]:
    return _query(name, meaning, {"type": "string", "enum": list(values)}, repeated=repeated)


_STATE = _one_of("state", "only migrations in this state", (state.value for state in State))
_FLAG = _one_of("flag", "only migrations with this flag", (flag.value for flag in Flag))
_FORMAT = _one_of("format", "goes before Accept", ("json", "text", "html"), repeated=False)
_PAGE = _query("page", "of the list in the page", {"type": "integer", "minimum": 1, "maximum": 999_999_999})
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_DURATION = {
    "type": "string",
    "pattern": r"^([0-9]{1,12}(\.[0-9]{1,6})?|([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+)$",
    "maxLength": 40,
}
_READY = (
    _query("verbose", "one line a check", {"type": "string"}),
    _one_of("exclude", "leaves a check out of the verdict", checks.NAMES),
    _one_of("include", "brings a check into the verdict", checks.OPTIONAL),
    _query("wait", "until ready, at most so long", _DURATION),
)

_SCHEMA = (
    _query("q", "words, each of which is in a name", {"type": "string"}),
    _query("schema", "only the tables of this schema", {"type": "string"}),
    _one_of("sort", "the order of the tables", (sort.value for sort in Sort), repeated=False),
    _query("page", "which of them", {"type": "integer", "minimum": 1, "maximum": schema.MOST_PAGES}),
    _query("limit", "tables on a page", {"type": "integer", "minimum": 1, "maximum": schema.MOST_ROWS}),
    _query("system", "the system's schemas too", {"type": "string"}),
    _FORMAT,
)
_TABLE = {"name": "table", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}

_REFUSED: Mapping[str, type | None] = {PROBLEM: Problem}
_STANDING: Mapping[str, type | None] = {JSON: _SUMMARY, TEXT: None}
_INSPECTED: Mapping[int, Mapping[str, type | None]] = {200: {JSON: Document, TEXT: None, HTML: None}}

OPERATIONS: Mapping[str, Operation] = {
    "/live": Operation("200 while the event loop turns", {200: {JSON: _LIVE, TEXT: None}}),
    "/ready": Operation(
        "whether the target is ready", {200: _STANDING, 503: _STANDING, 400: _REFUSED}, _READY
    ),
    "/startup": Operation("whether the first run has ended well", {200: _STANDING, 503: _STANDING}),
    "/migrations": Operation(
        "the whole status",
        {200: {JSON: _WHOLE, TEXT: None, HTML: None}, 400: _REFUSED, 503: _REFUSED},
        (_STATE, _FLAG, _FORMAT, _PAGE),
    ),
    "/migrations/{version}": Operation(
        "one migration",
        {200: {JSON: _ONE, TEXT: None, HTML: None}, 400: _REFUSED, 404: _REFUSED, 503: _REFUSED},
        (_VERSION, _FORMAT),
    ),
    "/events": Operation(
        "the run as it happens",
        {200: {EVENTS: None}, 503: _REFUSED},
        (
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
            _query("summary", "no lists of migrations", {"type": "string"}),
        ),
    ),
    "/metrics": Operation("figures for Prometheus", {200: {TEXT: None, OPENMETRICS: None}}),
    "/openapi.json": Operation("this document", {200: {JSON: None}}),
    "/retry": Operation(
        "ask for another try", {202: {JSON: _ACCEPTED}, 401: _REFUSED, 503: _REFUSED}, security=True
    ),
    "/schema": Operation("the tables as they are", {**_INSPECTED, 400: _REFUSED, 503: _REFUSED}, _SCHEMA),
    "/schema/{table}": Operation(
        "one table in detail",
        {**_INSPECTED, 400: _REFUSED, 404: _REFUSED, 503: _REFUSED},
        (_TABLE, _FORMAT),
    ),
}


@cache
def encoded(resources: tuple[Resource, ...]) -> bytes:
    """The document of *resources* as JSON."""
    return msgspec.json.encode(document(resources)) + b"\n"


def document(resources: tuple[Resource, ...]) -> dict[str, Any]:
    """*resources* as an OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "pgready", "version": __version__},
        "paths": {
            path: {resource.method.lower(): _operation(OPERATIONS[resource.shown[0]])}
            for resource in resources
            for path in resource.shown
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas() -> dict[str, Any]:
    """The types as JSON Schema. Every field is always sent, but for those of a problem that say nothing."""
    structs = {
        kind for each in OPERATIONS.values() for told in each.answers.values() for kind in told.values()
    }
    named = sorted((kind for kind in structs if kind), key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(named, ref_template="#/components/schemas/{name}")
    for name, form in schemas.items():
        if name != Problem.__name__ and "properties" in form:
            form["required"] = list(form["properties"])
        if name in _VERSIONED:
            form["properties"]["schema"] = {"const": 1}
    return schemas


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {
            str(status): {
                "description": operation.summary if status < 400 else "a problem",
                "content": {media_type: _content(kind) for media_type, kind in told.items()},
            }
            for status, told in operation.answers.items()
        },
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.security:
        described["security"] = [{"token": []}]
    return described


def _content(kind: type | None) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}} if kind else {}
