"""A file that was renamed after it was applied: under its new version it would run again.

Its row has no file any more, and a pending file has the text of that row. Whatever the policies say of rows
without a file, that is refused; a history that keeps no checksums cannot tell.
"""

from __future__ import annotations

from msgspec.structs import replace

from pgready.core.errors import typed
from pgready.core.model import Kind
from pgready.core.planning import Entry, Finding, Plan, Severity, State


def refused(plan: Plan) -> Plan:
    """*plan*, in which a renamed file is refused, and nobody is told to accept that the old one is gone."""
    renamed = _renamed(plan)
    if not renamed:
        return plan
    lost = {gone.version for gone, _ in renamed}
    others = (finding for finding in plan.findings if finding.version not in lost)
    return replace(plan, findings=(*others, *(_finding(gone, twin) for gone, twin in renamed)))


def renamed(plan: Plan, gone: Entry) -> Entry | None:
    """The pending entry that has the text of *gone*, which is applied and has no file."""
    return next((twin for lost, twin in _renamed(plan) if lost is gone), None)


def _renamed(plan: Plan) -> list[tuple[Entry, Entry]]:
    """Each applied entry without a file whose text a pending one has, and that one."""
    pending = {
        entry.migration.checksum: entry
        for entry in plan.entries
        if entry.migration and entry.kind is Kind.VERSIONED and entry.state is State.PENDING
    }
    return [
        (gone, pending[gone.applied.checksum])
        for gone in plan.entries
        if gone.migration is None
        and gone.state is State.APPLIED
        and gone.applied
        and gone.applied.checksum in pending
    ]


def _finding(gone: Entry, twin: Entry) -> Finding:
    path = twin.migration.script.path if twin.migration else twin.version
    old = f"{gone.version} ({gone.name})" if gone.name else gone.version
    message = (
        f"{path}: has the text of {old}, which is applied and has no file: was it renamed? It would run again"
    )
    hint = (
        f"give it its old version back, {gone.version}, or let its row say the new one: "
        f"pgready repair {typed(gone.version)}; where it is to run once more, add a comment to it"
    )
    return Finding(Severity.ERROR, twin.version, None, message, hint)
