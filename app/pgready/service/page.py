"""The status as a page: one response that needs nothing else, and no script either.

1. All that it shows is rendered here, once; the script only fetches the page again after an event and takes
   over what differs. So what is seen with and without JavaScript cannot disagree.
2. Its content policy allows that one style and that one script, by their hashes, and this origin alone.
3. SQL is shown only where `show_sql` asks for it, and no password in it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Set
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from pgready import __version__
from pgready.core.events import Event, Planned
from pgready.core.masking import masked
from pgready.core.model import Script
from pgready.core.status import MigrationStatus
from pgready.service import listing, scene, wording
from pgready.service.feed import Feed
from pgready.service.listing import Wish
from pgready.service.problems import HTML, BadRequest, answer, problem
from pgready.service.resources import to_root
from pgready.service.scene import Look

if TYPE_CHECKING:
    import jinja2

_MOVING_SECONDS, _STILL_SECONDS = 2, 10
"""How often the page loads itself where there is no JavaScript."""

_KEPT = 16

_LINKS = (
    ("JSON", "/migrations", "migrations?format=json"),
    ("Ready", "/ready", "ready"),
    ("Schema", "/schema", "schema"),
    ("Metrics", "/metrics", "metrics"),
)

_GLYPHS = {
    "turn": "M12 5.5a6.5 6.5 0 1 1-5.63 3.25",
    "clock": "M12 6.75V12l3.5 2.25",
    "check": "m7.5 12.4 3.1 3.1 6-6.5",
    "cross": "m8.5 8.5 7 7m0-7-7 7",
    "stop": "M9.5 9.5h5v5h-5z",
}
_INKS = {"good": "#0f7a4d", "busy": "#3f5bd0", "warn": "#a8650a", "bad": "#c2322b", "still": "#64666f"}


class Pages:
    """Renders *feed*'s status; what is wished for again within the same second is not rendered again."""

    def __init__(self, feed: Feed, paths: Set[str]) -> None:
        """*paths* are those that are served: the page links to no other."""
        self._feed = feed
        self._links = tuple((label, href) for label, path, href in _LINKS if path in paths)
        self._scripts: dict[tuple[str, str], Script] | None = None
        self._shown: dict[tuple[str, str], tuple[Script, str]] = {}
        self._kept: dict[tuple[object, ...], bytes] = {}

    def note(self, event: Event) -> None:
        """Keep the scripts of a plan, to show them. Whoever wants no SQL on the page never calls this."""
        if isinstance(event, Planned):
            entries = (entry for entry in event.plan.entries if entry.migration)
            self._scripts = {
                (each.kind.value, each.version): each.migration.script for each in entries if each.migration
            }

    def render(self, wish: Wish) -> bytes | None:
        """The page that *wish* asks for; None where it names a migration that there is not."""
        now = self._feed.now()
        key = self._feed.sequence, int(now.timestamp()), wish
        if key not in self._kept:
            context = self._context(wish, now)
            if context is None:
                return None
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = templates().get_template("page.html").render(context).encode()
        return self._kept[key]

    def _context(self, wish: Wish, now: datetime) -> dict[str, Any] | None:
        status = self._feed.status
        look = scene.looks(status)
        shared = {
            "status": status,
            "now": now,
            "look": look,
            "title": scene.title(status, look),
            "refresh_seconds": _MOVING_SECONDS if look.tone in ("busy", "warn") else _STILL_SECONDS,
            "links": self._links,
            "up": wish.up,
        }
        if wish.version is not None:
            found = next((each for each in status.roster if each.version == wish.version), None)
            return {**shared, "one": found, "script": self._script(found)} if found else None
        return {
            **shared,
            "one": None,
            "lede": scene.lede(status),
            "steps": scene.steps(status, self._feed.working_phase),
            "excerpt": scene.failing_lines(status.failure.place if status.failure else None),
            "list": listing.listed(status, wish),
        }

    def _script(self, of: MigrationStatus) -> str | None:
        """The text of a migration's script as it may be seen; a large one takes long to go through."""
        if self._scripts is None:
            return None
        key = of.kind, of.version
        script = self._scripts.get(key)
        if script is None:
            return ""
        if key not in self._shown or self._shown[key][0] != script:
            if len(self._shown) >= _KEPT:
                self._shown.clear()
            self._shown[key] = script, masked(script.shown)
        return self._shown[key][1]


async def page(request: Request, wish: Wish) -> Response:
    """The page that *wish* asks for, with its own content policy."""
    await prepare()
    pages: Pages = request.app.state.pages
    body = pages.render(wish)
    if body is None:
        return problem(404, "no migration has this version; /migrations lists them")
    return answer(body, HTML, headers={"Content-Security-Policy": policy()})


def wished(request: Request, **narrowed: Any) -> Wish:
    """What *request* wants to see. Raises BadRequest."""
    number = request.query_params.get("page", "1")
    if not (number.isascii() and number.isdigit() and len(number) < 10 and int(number)):
        raise BadRequest("page must be a number from 1")
    return Wish(up=to_root(request), number=int(number), **narrowed)


@cache
def policy() -> str:
    """The page's own content policy."""
    style, script = (hashed(asset(name)) for name in ("page.css", "page.js"))
    return (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def hashed(text: str) -> str:
    """*text*, a whole style or script, as a content policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


# Templates, and what they call


@cache
def asset(name: str) -> str:
    """One of our templates, styles or scripts."""
    return resources.files("pgready.service").joinpath("templates", name).read_text(encoding="utf-8")


def _icon(look: Look) -> str:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
        f'<circle cx="12" cy="12" r="11.5" fill="{_INKS[look.tone]}"/><path d="{_GLYPHS[look.glyph]}" '
        'fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round"/></svg>'
    )
    return f"data:image/svg+xml,{quote(svg)}"


def _share(part: float, whole: float) -> str:
    """A length in percent of the row's; what there is is never so short that it cannot be seen."""
    return f"{max(1.0, 100 * part / whole) if part and whole else 0:.4g}%"


_FUNCTIONS: Mapping[str, object] = {
    **{name: getattr(wording, name) for name in ("ago", "clock", "count", "number", "took", "utc")},
    "glyphs": _GLYPHS,
    "icon": _icon,
    "share": _share,
    "pgready_version": __version__,
}


async def prepare() -> None:
    """Compile the templates, if nobody did: beside the event loop, or no probe is answered for 70 ms."""
    if not _compiled.cache_info().currsize:
        await anyio.to_thread.run_sync(_compiled)


@cache
def _compiled() -> None:
    for each in resources.files("pgready.service").joinpath("templates").iterdir():
        if each.name.endswith(".html"):
            templates().get_template(each.name)


@cache
def templates() -> jinja2.Environment:
    """The templates, with what all of them call."""
    import jinja2  # only where somebody looks at a page

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_FUNCTIONS)
    environment.globals.update(style=asset("page.css"), behaviour=asset("page.js"))
    return environment
