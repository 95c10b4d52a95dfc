"""What only psql understands: its meta-commands, and COPY data between statements."""

from __future__ import annotations

import re

from pgready.core.errors import ScriptError
from pgready.core.lexical import skip
from pgready.core.model import Script
from pgready.core.segments import Statement, place, refused
from pgready.core.sql import SCAN_LIMIT_CHARACTERS, TokenKind, tokens

_COMMAND = re.compile(r"\\([a-zA-Z_]+|[^\s])?")
# Newer pg_dump brackets its output with these two, to keep psql from obeying the data.
_HARMLESS = frozenset({"restrict", "unrestrict"})

_ELSEWHERE = "a migration runs in the one database of the run: remove it, or name that database in the URL"
_INCLUDE = "put the text of that file here, or make it a migration of its own"
_VARIABLE = "nothing replaces variables here: write the value itself"
_OUTPUT = "it only changes what psql shows: remove it"
_SEMICOLON = "end the statement with `;`"
_CURES = {
    **dict.fromkeys(("c", "connect"), _ELSEWHERE),
    **dict.fromkeys(("i", "include", "ir", "include_relative"), _INCLUDE),
    **dict.fromkeys(("set", "unset", "gset", "prompt", "getenv", "setenv"), _VARIABLE),
    **dict.fromkeys(("if", "elif", "else", "endif"), "write the condition in SQL: DO $$ BEGIN IF … END $$"),
    **dict.fromkeys(("echo", "qecho", "warn", "timing", "pset", "x", "t", "a", "o"), _OUTPUT),
    **dict.fromkeys(("g", "gx", "gexec", "gdesc", "watch", "crosstabview", "bind"), _SEMICOLON),
    "copy": "use COPY … FROM stdin with the data in this file, ended by a line `\\.`",
    ".": "it ends COPY data, and there is no COPY … FROM stdin before it",
    "encoding": "save the file as UTF-8 and remove it",
    "q": "remove it and what stands behind it",
}
# What `\\set` tells psql itself, most of it in the first lines of a script.
_SET = re.compile(r"\\set[ \t]+(\w+)")
_CURES_OF_SET = {
    "ON_ERROR_STOP": "remove it: pgready stops at the first error anyway",
    "ON_ERROR_ROLLBACK": "remove it: pgready stops at the first error, and rolls back",
    "AUTOCOMMIT": "remove it: a script is one transaction anyway",
    **dict.fromkeys(("ECHO", "ECHO_HIDDEN", "QUIET", "VERBOSITY", "SHOW_CONTEXT"), _OUTPUT),
}
# A line of data's end in a statement: its COPY was written as none, or its data stands there twice.
_IN_STATEMENT = re.compile(
    r"\\(?:gset|gexec|gdesc|gx|g|watch|crosstabview|bind|parse|if|elif|else|endif|set)\b|(?<=\n)\\\."
)
# What the server's grammar takes for the client's end, in either direction.
_CLIENT = frozenset({"stdin", "stdout"})


def pass_command(script: Script, start: int, stop: int) -> int:
    """The offset behind the line of the harmless meta-command at *start*; raises ScriptError for others."""
    match = _COMMAND.match(script.text, start, stop)
    name = (match and match.group(1)) or ""
    if name not in _HARMLESS:
        raise _not_sql(script, start, name)
    line_end = script.text.find("\n", start, stop)
    return stop if line_end < 0 else line_end + 1


def refuse_commands_within(script: Script, statement: Statement) -> None:
    """Raise ScriptError where psql would obey a meta-command inside *statement* (`SELECT 1 \\gset`)."""
    text = script.text[statement.start : statement.end]
    if len(text) > SCAN_LIMIT_CHARACTERS or not _IN_STATEMENT.search(text):
        return
    for token in tokens(text):
        if token.kind is TokenKind.OTHER and token.text == "\\":
            match = _COMMAND.match(text, token.start)
            raise _not_sql(script, statement.start + token.start, (match and match.group(1)) or "")


def _not_sql(script: Script, offset: int, name: str) -> ScriptError:
    own = _SET.match(script.text, offset)
    cure = _CURES.get(name, "only psql understands it: remove it")
    cure = _CURES_OF_SET.get(own[1], cure) if own else cure
    return refused(script, offset, f"`\\{name}` is a command of psql, not SQL", cure)


def copies_from_stdin(text: str) -> bool:
    """Whether the COPY statement *text* reads the data that follows it (`FROM stdin`, or `FROM stdout`)."""
    lowered = text.lower()
    if not any(word in lowered for word in _CLIENT):
        return False
    depth = 0
    before = ""
    for token in tokens(text):
        if token.kind is TokenKind.COMMENT:
            continue
        depth += (token.text == "(") - (token.text == ")")
        word = token.text if token.kind is TokenKind.WORD else ""
        if depth == 0 and before == "from" and word in _CLIENT:
            return True
        before = word
    return False


def copy_data(script: Script, statement: Statement, behind: int, stop: int) -> tuple[Statement, int]:
    """*statement*, a COPY … FROM STDIN whose `;` ends at *behind*, with its data lines.

    The second value is the offset behind their `\\.` line.
    """
    text = script.text
    line_end = text.find("\n", behind, stop)
    data = stop if line_end < 0 else line_end + 1
    if skip(text, behind, data) < data:
        raise refused(
            script,
            statement.start,
            "something stands between COPY … FROM stdin; and its data",
            "the data starts on the next line: move the rest of the line behind the `\\.`",
        )
    end = _data_end(text, data, stop)
    if end is None:
        line = place(script, statement.start).line
        raise refused(
            script,
            statement.start,
            f"the data of the COPY on line {line} has no end",
            "end it with a line that holds only `\\.`",
        )
    after = text.find("\n", end, stop)
    return Statement(statement.start, statement.end, (data, end)), stop if after < 0 else after + 1


def _data_end(text: str, data: int, stop: int) -> int | None:
    """The start of the first line of *data* that is `\\.`, as psql ends data in a script."""
    start = data
    while True:
        start = text.find("\\.", start, stop)
        if start < 0:
            return None
        line_end = text.find("\n", start, stop)
        rest = text[start + 2 : min(start + 4, stop if line_end < 0 else line_end)]
        if rest in ("", "\r") and (start == data or text[start - 1] == "\n"):
            return start
        start += 2
