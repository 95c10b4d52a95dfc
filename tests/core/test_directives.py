from __future__ import annotations

import pytest

from pgready.core.compile import compile_script
from pgready.core.errors import ScriptError
from pgready.core.model import Script


def refusal(text: str) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        compile_script(Script("1_a.sql", text))
    return caught.value


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        ("5s", 5000),
        ("250ms", 250),
        ("1.5s", 1500),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("7", 7000),
        ("0", 0),
        ("2147483647ms", 2**31 - 1),
    ],
)
def test_timeouts_are_read_as_milliseconds(value: str, milliseconds: int) -> None:
    compiled = compile_script(
        Script("a", f"-- head\n\n/* x */ --pgready: lock-timeout={value} statement-timeout={value}\nSELECT 1")
    )

    assert (compiled.lock_timeout_ms, compiled.statement_timeout_ms) == (milliseconds, milliseconds)


def test_without_directives_there_are_no_timeouts() -> None:
    compiled = compile_script(Script("a", "SELECT 1"))

    assert (compiled.lock_timeout_ms, compiled.statement_timeout_ms) == (None, None)


def test_a_byte_order_mark_hides_no_directive() -> None:
    assert (
        compile_script(Script("a", "\ufeff-- pgready: lock-timeout=1s\r\nSELECT 1")).lock_timeout_ms == 1000
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("-- pgready: no-transction\n", 1, 13, "did you mean no-transaction?"),
        ("-- pgready: lock_timeout=1s\n", 1, 13, "did you mean lock-timeout?"),
        ("-- pgready: frobnicate\n", 1, 13, "known are"),
        ("-- pgready: lock-timeout\n", 1, 13, "lock-timeout=5s"),
        ("-- pgready: lock-timeout=soon\n", 1, 13, "lock-timeout=5s"),
        ("-- pgready: lock-timeout=99999h\n", 1, 13, "at most `lock-timeout=596h`"),
        ("-- pgready: statement-timeout=2147483648ms\n", 1, 13, "longer than the server takes"),
        ("-- pgready: no-transaction=yes\n", 1, 13, "takes no value"),
        ("-- pgready: no-transaction\n-- pgready: no-transaction\n", 2, 13, "twice"),
        ("-- pgready no-transaction\n", 1, 1, "write `-- pgready: …`"),
        ("-- pgready: phase expand\nSELECT 1", 1, 13, "not supported by this version"),
        ("-- pgready: backfill table=t\nSELECT 1", 1, 13, "not supported by this version"),
        ("SELECT 1;\n-- pgready: no-transaction\n", 2, 1, "top of the script"),
        ("SELECT 1;\n-- pgready: no-transaction\nSELECT 2", 2, 1, "top of the script"),
        ("SELECT 1;\n-- one\n-- pgready: no-transaction\n", 3, 1, "top of the script"),
        ("SELECT 1,\n-- pgready: no-transaction\n2", 2, 1, "top of the script"),
        ("COPY t FROM stdin;\n\\.\n-- pgready: no-transaction\n", 3, 1, "top of the script"),
    ],
)
def test_a_directive_that_would_not_be_obeyed_is_refused(
    text: str, line: int, column: int, said: str
) -> None:
    error = refusal(text)

    assert error.place is not None
    assert (error.place.line, error.place.column) == (line, column)
    assert said in f"{error.what}. {error.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '\n-- pgready: x\n'",
        "SELECT 1; /*\n-- pgready: x\n*/",
        "/* -- pgready: x */ SELECT 1",
        "DO $$\n-- pgready: x\n$$",
        "COPY t FROM stdin;\n-- pgready: x\n\\.\n",
        "-- see -- pgready: x\nSELECT 1",
    ],
)
def test_what_only_looks_like_a_directive_is_left_alone(text: str) -> None:
    assert compile_script(Script("a", text)).segments
