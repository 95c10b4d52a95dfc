"""`pgready plan`: what `up` would do, statement by statement. Changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from pgready.commands.console import Console
from pgready.commands.hints import completed
from pgready.commands.options import load_settings, output_option, settings_options
from pgready.commands.process import finish, show
from pgready.core.errors import ExitCode
from pgready.core.model import Script
from pgready.core.planning import Entry, Work
from pgready.core.segments import CompiledScript, Segment, SegmentKind, shown
from pgready.running import assemble
from pgready.running.look import Sight
from pgready.running.source import Source
from pgready.settings import Settings

_SHOWN_CHARACTERS = 100


@click.command("plan")
@settings_options
@output_option
def command(output: str, **flags: object) -> int:
    """Show every statement that `up` would run, in order, and what it would warn of or refuse."""
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC), quiet=True)

    async def work() -> int:
        async with assemble.located(settings, console.emit) as located:
            source = await assemble.read_source(located)
            run = assemble.run_of(located, source, console.emit, read_only=True)
            sight = await run.look_only(unmade=True)
        document = await _document(sight, source, located)
        show(_json(document) if output == "json" else _text(document))
        return ExitCode.DIVERGED if sight.plan.errors or sight.needs.lacking else ExitCode.DONE

    return finish(work, console.fail)


async def _document(sight: Sight, source: Source, settings: Settings) -> dict[str, Any]:
    pending = []
    for entry, work in zip(sight.plan.pending, sight.work, strict=True):
        script = await source.compiled(entry.kind, entry.version)
        pending.append(_migration(entry, work, script))
    return {
        "schema": 1,
        "dialect": source.dialect.name,
        "differences": source.dialect.differences,
        "pending": pending,
        "findings": [
            {
                "severity": finding.severity.value,
                "version": finding.version,
                "flag": finding.flag.value if finding.flag else None,
                "message": finding.message,
                "hint": finding.hint and completed(finding.hint, settings),
            }
            for finding in (*sight.plan.findings, *(lack.finding for lack in sight.needs.lacking))
        ],
        "bootstrap": {
            "cluster": sight.needs.cluster,
            "target": sight.needs.target,
            "missing": msgspec.to_builtins(sight.needs.tasks),
        },
    }


def _migration(entry: Entry, work: Work, script: CompiledScript) -> dict[str, Any]:
    assert entry.migration is not None
    source = entry.migration.script
    return {
        "version": entry.version,
        "name": entry.name,
        "kind": entry.kind.value,
        "state": entry.state.value,
        "file": entry.migration.script.path,
        "segments_done": work.next,
        "segments": [_segment(segment, source) for segment in script.segments],
    }


def _segment(segment: Segment, source: Script) -> dict[str, Any]:
    return {
        "transaction": segment.kind is SegmentKind.TRANSACTION,
        "statements": [shown(source, each.start, each.end) for each in segment.statements],
    }


def _json(document: dict[str, Any]) -> str:
    return msgspec.json.encode(document).decode()


def _text(document: dict[str, Any]) -> str:
    lines = [_told(finding) for finding in document["findings"]]
    if document["pending"]:
        lines += [f"note: {difference}" for difference in document["differences"]]
    if document["bootstrap"]["missing"]:
        lines.append("bootstrap:")
        lines += [f"  {_task(**task)}" for task in document["bootstrap"]["missing"]]
    for migration in document["pending"]:
        lines.append(f"{migration['version']} {migration['name']} ({migration['file']})")
        if not any(segment["statements"] for segment in migration["segments"]):
            lines.append("  empty: nothing runs")
            continue
        for number, segment in enumerate(migration["segments"]):
            how = "in a transaction" if segment["transaction"] else "outside a transaction"
            done = ", done already" if number < migration["segments_done"] else ""
            lines.append(f"  {how}{done}:")
            lines += [f"    {_short(statement)}" for statement in segment["statements"]]
    return "\n".join(lines) or "nothing to do"


def _task(what: str, name: str, action: str) -> str:
    done = "its password would be changed" if action == "password changed" else f"would be {action}"
    return f"{what} {name}: {done}"


def _told(finding: dict[str, str | None]) -> str:
    hint = f"; {finding['hint']}" if finding["hint"] else ""
    return f"{finding['severity']}: {finding['message']}{hint}"


def _short(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"
