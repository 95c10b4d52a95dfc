"""One Status, as what every output shows: a line, a table, JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC

import msgspec
from msgspec.structs import replace

from pgready.core.errors import first_of
from pgready.core.planning import State
from pgready.core.roster import roster
from pgready.core.status import MigrationStatus, Status


def headline(status: Status) -> str:
    """*status* in one line."""
    text = f"{status.phase}: {_counted(status)}"
    if status.progress is not None:
        progress = status.progress
        at = min(progress.statements + 1, progress.total)  # the one that runs
        text += f"; {progress.version}, statement {at} of {progress.total}"
        if progress.blockers:
            text += f", blocked by {progress.blockers[0].label}"
    elif status.lock is not None:
        who = status.lock.holder.label if status.lock.holder else "another"
        text += f"; the lock is held by {who} ({status.lock.waited_seconds:.0f} s)"
    elif status.reason:
        text += f"; {status.reason.splitlines()[0]}"
    return text


def verdict(status: Status) -> str:
    """What `core.status.looked` has found, in one line."""
    pending = status.counts.pending + status.counts.partly_applied
    if status.ready:
        word = "up to date"
    elif status.errors:
        word = "refused"
    else:
        word = status.reason if status.reason and not pending else "not up to date"
    return f"{word}: {_counted(status)}"


def _counted(status: Status) -> str:
    counts = status.counts
    others = (
        (counts.pending, "pending"),
        (counts.partly_applied, "partly applied"),
        (counts.failed, "failed"),
    )
    parts = [f"{number} {word}" for number, word in others if number]
    return ", ".join([f"{counts.applied} applied", *parts])


def news(status: Status) -> Status:
    """*status* with those migrations alone that a run has to tell of: applied since it started, by whomever,
    or not as they should be."""

    def is_new(each: MigrationStatus) -> bool:
        if each.state != State.APPLIED.value or each.flags:
            return True
        return bool(status.started_at and each.applied_at and each.applied_at >= status.started_at)

    return narrowed(status, filter(is_new, status.migrations))


def narrowed(status: Status, migrations: Iterable[MigrationStatus]) -> Status:
    """*status* with only these *migrations* to show; its counts are still those of all."""
    return replace(status, roster=roster(((each.kind, each.version), each) for each in migrations))


def to_json(status: Status) -> bytes:
    """*status* as JSON: snake_case keys, ISO 8601 times in UTC, `"schema": 1`."""
    return msgspec.json.encode(_document(status) | {"migrations": status.migrations})


def summary_json(status: Status) -> bytes:
    """The same without the list of migrations, and of each other list the first ten."""
    shortened = {name: first_of(getattr(status, name)) for name in ("errors", "warnings", "drift")}
    return msgspec.json.encode(_document(status) | shortened)


def _document(status: Status) -> dict[str, object]:
    return {name: getattr(status, name) for name in status.__struct_fields__ if name != "roster"}


_COLUMNS = ("version", "name", "state", "applied at (UTC)", "took", "by")


def text_table(status: Status, first: str | None = None) -> str:
    """*status* for people: the *first* line, or else its headline, the migrations, what is refused, the
    warnings."""
    lines = [headline(status) if first is None else first]
    rows = [_row(each) for each in status.migrations]
    if rows:
        widths = [max(len(row[at]) for row in (_COLUMNS, *rows)) for at in range(len(_COLUMNS))]
        for row in (_COLUMNS, *rows):
            lines.append(
                "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
            )
    lines += [f"error: {error}" for error in status.errors]
    lines += [f"warning: {warning}" for warning in (*status.warnings, *status.drift)]
    return "\n".join(lines)


def _row(migration: MigrationStatus) -> tuple[str, ...]:
    flags = f" ({', '.join(migration.flags)})" if migration.flags else ""
    at = migration.applied_at
    return (
        migration.version,
        migration.name,
        migration.state + flags,
        f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else "",
        _took(migration.duration_ms),
        migration.applied_by or "",
    )


def _took(duration_ms: int | None) -> str:
    if duration_ms is None:
        return ""
    return f"{duration_ms} ms" if duration_ms < 10_000 else f"{duration_ms / 1000:.1f} s"
