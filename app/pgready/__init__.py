"""pgready makes a PostgreSQL schema ready, and tells everyone when it is.

The library is loaded when its names are used, so that `import pgready` costs nothing:
`await pgready.migrate(...)`, `await pgready.status(...)` and `pgready.lifespan(...)`. Errors are
`pgready.PgreadyError` and its subclasses in `pgready.core.errors`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; `typing` itself costs a health check 4 ms

if TYPE_CHECKING:
    from pgready.asgi import ReadyMiddleware, lifespan
    from pgready.core.errors import PgreadyError
    from pgready.core.status import Status
    from pgready.running.library import migrate, status

__version__ = "0.1.0"

__all__ = ["PgreadyError", "ReadyMiddleware", "Status", "lifespan", "migrate", "status"]

_HOMES = {
    "ReadyMiddleware": "pgready.asgi",
    "PgreadyError": "pgready.core.errors",
    "Status": "pgready.core.status",
    "lifespan": "pgready.asgi",
    "migrate": "pgready.running.library",
    "status": "pgready.running.library",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pgready' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
