"""A script is cut into the statements that psql sends for it: psql itself is asked.

It is asked about generated scripts, and by `make test-regress` about PostgreSQL's own regression tests.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.scripts import blocks, comments, spoken, statement_texts
from harness.recorder import Recorder, Sent
from harness.server import programs_under_test
from pgready.core import lexical, psql, statements
from pgready.core.errors import ScriptError
from pgready.core.model import Script
from pgready.core.segments import BYTE_ORDER_MARK

EXAMPLES = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    version = subprocess.run(
        [programs_under_test() / "psql", "--version"], capture_output=True, text=True, check=True
    ).stdout
    if int(version.split()[2].partition(".")[0]) < 15:
        pytest.skip("psql before 15 leaves out the comments within a statement")
    running = Recorder()
    try:
        yield running
    finally:
        running.close()


def read(text: str) -> list[Sent]:
    """The statements as pgready reads them. Raises ScriptError."""
    script = Script("script.sql", text)
    found = []
    for batch in statements.read(script, len(text) - len(text.removeprefix(BYTE_ORDER_MARK)), len(text)):
        for statement in batch.statements:
            psql.refuse_commands_within(script, statement)
            data = text[slice(*statement.copy_data)] if statement.copy_data else None
            found.append(Sent(text[statement.start : statement.end], data))
    return found


def differences(text: str, recorder: Recorder) -> list[tuple[Sent | None, Sent | None]]:
    """Pairs of statements, ours and psql's, of *text* that are not the same; the first of them, mostly."""
    ours = read(text)
    theirs = [sent for sent in recorder.send(text) if _skip(sent.text) < len(sent.text)]
    for one, other in zip(ours, theirs, strict=False):
        if not _same(one, other):
            return [(one, other)]
    return [*((one, None) for one in ours[len(theirs) :]), *((None, other) for other in theirs[len(ours) :])]


def _same(ours: Sent, theirs: Sent) -> bool:
    """Whether they are equal but for comments around, which psql sends too, and empty lines, which not."""
    text, said = (re.sub("\n+", "\n", each) for each in (ours.text, theirs.text[_skip(theirs.text) :]))
    behind = said[len(text) :]
    return said.startswith(text) and _skip(behind) == len(behind) and (ours.data or "") == (theirs.data or "")


def _skip(text: str) -> int:
    return lexical.skip(text, 0, len(text), ends=True)


def test_the_recorder_hears_what_psql_sends(recorder: Recorder) -> None:
    script = "SELECT 1;\nCOPY t FROM stdin;\n1\n\\.\nSET standard_conforming_strings = off;\nSELECT '\\';'; x"

    assert recorder.send(script) == [
        Sent("SELECT 1;"),
        Sent("COPY t FROM stdin;", "1\n"),
        Sent("SET standard_conforming_strings = off;"),
        Sent("SELECT '\\';';"),
        Sent("x"),
    ]


@EXAMPLES
@given(parts=st.lists(st.tuples(comments, statement_texts | blocks), max_size=6))
def test_statements_and_copies_are_cut_as_psql_cuts_them(
    recorder: Recorder, parts: list[tuple[str, str | tuple[str, str]]]
) -> None:
    texts = (f"{each};" if isinstance(each, str) else f"{each[0]}{each[1]}\\.\n" for _, each in parts)
    script = "".join(before + text for (before, _), text in zip(parts, texts, strict=True))

    assert differences(script, recorder) == []


@EXAMPLES
@given(text=spoken)
def test_any_text_that_is_not_refused_is_cut_as_psql_cuts_it(recorder: Recorder, text: str) -> None:
    try:
        read(text)
    except ScriptError:
        return

    assert differences(text, recorder) == []


# PostgreSQL's own regression tests.

VARIABLE = "PGREADY_TEST_REGRESS_SQL"
HOW = f"""{VARIABLE} must name the folder src/test/regress/sql of PostgreSQL's source, of any version:
    git clone --depth 1 https://github.com/postgres/postgres
    {VARIABLE}=postgres/src/test/regress/sql make test-regress"""

OF_PSQL = ("psql.sql", "psql_crosstab.sql", "psql_pipeline.sql")
"""Files about psql's own commands."""

REFUSED_AT_ONCE = (
    "has no end",  # a COPY that the server is meant to refuse, so that there is no data
    "trailing junk after",
    "invalid Unicode",
    "invalid hexadecimal integer",
    "invalid octal integer",
    "invalid binary integer",
    "stands between COPY",  # several statements that are sent as one
    "`\\.` is a command",
)
"""What pgready refuses before anything runs, and psql leaves to the server."""

_SENDS = re.compile(r"\\(?:gset|gexec|gdesc|gx|g|watch|crosstabview|bind|parse)\b.*$")
# Strings in which a backslash hides a quote are refused: see core.backslashes.
_OFF = re.compile("(?is)set standard_conforming_strings (?:to|=) off;.*?(?=set standard_conforming_strings)")
_VARIABLES = re.compile(r""":(?=['"]?(?:LAST_ERROR_MESSAGE|DBNAME|USER|HOST|PORT)\b)""")


def regress_files() -> list[Path | None]:
    folder = os.environ.get(VARIABLE)
    return [*sorted(Path(folder).glob("*.sql"))] if folder else [None]


def without_commands(text: str) -> str:
    """*text* with the commands of psql left out, or with a `;` where they end a statement."""
    lines = []
    for line in _OFF.sub("", _VARIABLES.sub("", text)).split("\n"):
        copies = re.match(r"\\copy (\w+ from stdin)", line)
        sql = _SENDS.sub(";", line).replace("\\;", ";")
        command = sql.lstrip().startswith("\\") and not sql.startswith("\\.")
        lines.append(f"COPY {copies[1]};" if copies else "" if command else sql)
    return "\n".join(lines)


def without_refused(text: str) -> str:
    """*text* without the lines that pgready refuses for one of REFUSED_AT_ONCE."""
    while True:
        try:
            read(text)
        except ScriptError as refused:
            if not any(reason in refused.what for reason in REFUSED_AT_ONCE):
                raise
            assert refused.place is not None
            lines = text.split("\n")
            lines[refused.place.line - 1] = ""
            text = "\n".join(lines)
        else:
            return text


@pytest.mark.regress
@pytest.mark.parametrize("path", regress_files(), ids=lambda path: path.name if path else "not found")
def test_a_regression_test_is_cut_as_psql_cuts_it(recorder: Recorder, path: Path | None) -> None:
    if path is None:
        pytest.fail(HOW)
    if path.name in OF_PSQL or "win1252" in path.name:
        return
    text = without_refused(without_commands(path.read_text(encoding="utf-8")))

    assert differences(text, recorder) == []
