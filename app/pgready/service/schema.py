"""`/schema` and `/schema/{table}`: the database as it is, as JSON, text, and a page with search.

The page needs no script: the search is a form. The script hides at once what does not fit the words typed so
far. Its content policy allows this one style and script, by their hashes, and a form to this origin.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from pgready.core.inspection import Inspection, Question, Relation, Sort, document, plain, words
from pgready.core.inspection_text import detail, overview
from pgready.core.inspection_words import count, marks, notes, rows, size
from pgready.service import page, scene
from pgready.service.inspector import Busy, Inspector, Render
from pgready.service.negotiation import chosen
from pgready.service.problems import HTML, TEXT, BadRequest, answer, problem
from pgready.service.resources import face, feed, to_root
from pgready.service.scene import Look

ROWS = 100
MOST_ROWS = 500
MOST_PAGES = 100_000
"""Tables in one answer, unless and at most asked for, and the last page that can be."""

LONGEST_NAME = 200
_SORTS = tuple(each.value for each in Sort)
_RETRY = {"Retry-After": "1"}


class View(Struct, frozen=True):
    """What the page around the data needs: *search* as it was typed, and whose state the icon shows."""

    up: str
    search: str
    look: Look
    environment: str | None


async def schema(request: Request) -> Response:
    """The tables, a page of them; `q=`, `schema=`, `sort=`, `page=`, `limit=`, `system`."""
    limit = _number(request, "limit", ROWS, MOST_ROWS)
    question = Question(
        words=words(request.query_params.get("q", "")),
        schema=_name(request.query_params.get("schema", "")) or None,
        hidden="system" in request.query_params,
        sort=_sort(request),
        limit=limit,
        offset=(_number(request, "page", 1, MOST_PAGES) - 1) * limit,
    )
    return await _answered(request, question)


async def table(request: Request) -> Response:
    """All of one table or view; of several, where a bare name fits several."""
    return await _answered(request, Question(name=_name(request.path_params["table"]), limit=MOST_ROWS))


async def _answered(request: Request, question: Question) -> Response:
    inspector: Inspector = request.app.state.inspector
    kind = face(request)
    view = _view(request)
    render: Render = partial(_written, question=question, kind=kind, view=view)
    try:
        body = await inspector.rendered(question, (kind, view) if kind == HTML else kind, render)
    except Busy as why:
        return problem(503, str(why), headers=_RETRY)
    if not body:
        return problem(404, "no table or view has this name; /schema lists them")
    return answer(body, kind, headers={"Content-Security-Policy": policy()} if kind == HTML else None)


def _written(inspection: Inspection, question: Question, kind: str, view: View) -> bytes:
    """*inspection* as *kind*; nothing where a table was asked for that there is not."""
    if question.name is not None and not inspection.relations:
        return b""
    if kind == HTML:
        return _page(inspection, question, view)
    if kind == TEXT:
        many = question.name is None
        searched = bool(question.words)
        text = (
            overview(inspection, searched=searched)
            if many
            else "\n\n".join(map(detail, inspection.relations))
        )
        return f"{text}\n".encode()
    return msgspec.json.encode(document(inspection)) + b"\n"


# What is asked for


def _number(request: Request, parameter: str, default: int, most: int) -> int:
    text = request.query_params.get(parameter, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise BadRequest(f"{parameter} must be a number from 1 to {most}")
    return int(text)


def _sort(request: Request) -> Sort:
    wished = chosen("sort", (request.query_params.get("sort", Sort.NAME.value),), _SORTS)
    return Sort(min(wished))


def _name(text: str) -> str:
    return plain(text[:LONGEST_NAME])


def _view(request: Request) -> View:
    status = feed(request).status
    search = " ".join(words(request.query_params.get("q", "")))
    return View(to_root(request), search, scene.looks(status), status.environment)


# The page


@cache
def _style() -> str:
    return page.asset("page.css") + page.asset("schema.css")


@cache
def policy() -> str:
    """The page's own content policy."""
    return (
        f"default-src 'none'; style-src '{page.hashed(_style())}'; "
        f"script-src '{page.hashed(page.asset('schema.js'))}'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _page(inspection: Inspection, question: Question, view: View) -> bytes:
    name = "schema.html" if question.name is None else "table.html"
    last = -(-inspection.totals.relations // question.limit)
    number = question.offset // question.limit + 1
    context: dict[str, Any] = {
        "inspection": inspection,
        "question": question,
        "view": view,
        "style": _style(),
        "behaviour": page.asset("schema.js"),
        "sorts": [(sort.value, _query(replace(question, sort=sort, offset=0), view)) for sort in Sort],
        "schemas": [
            (each, _query(replace(question, schema=each.name, offset=0), view)) for each in inspection.schemas
        ],
        "every_schema": _query(replace(question, schema=None, offset=0), view),
        "earlier": _query(question, view, number - 1) if number > 1 else None,
        "later": _query(question, view, number + 1) if number < last else None,
        "largest": max((each.size_bytes or 0 for each in inspection.relations), default=0),
        "found": partial(_found, question=question),
        "count": count,
        "marks": marks,
        "notes": notes,
        "rows": rows,
        "size": size,
    }
    return page.templates().get_template(name).render(context).encode()


def _found(relation: Relation, question: Question) -> list[str]:
    """The columns that the words of a search are in."""
    low = [word.lower() for word in question.words]
    return [each.name for each in relation.columns if any(word in each.name.lower() for word in low)]


def _query(question: Question, view: View, number: int = 1) -> str:
    values = {
        "q": view.search,
        "schema": question.schema or "",
        "sort": "" if question.sort is Sort.NAME else question.sort.value,
        "limit": "" if question.limit == ROWS else str(question.limit),
        "system": "1" if question.hidden else "",
        "page": str(number) if number > 1 else "",
    }
    return "?" + urlencode({name: value for name, value in values.items() if value})
