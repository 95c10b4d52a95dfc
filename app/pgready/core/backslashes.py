"""Finds strings that the server would read on beyond where we end them: `\\'` under old rules.

libpg_query scans as the server does with `standard_conforming_strings = on`. With `off` a backslash in a
plain string hides the quote behind it: `'a\\'; DELETE …; --'` is one string there, and three statements
here. Up to the first such string both read the same, so refusing it is enough.
"""

from __future__ import annotations

import re

from pgready.core import sql
from pgready.core.model import Script
from pgready.core.segments import Statement, refused
from pgready.core.sql import TokenKind

SETTING = "standard_conforming_strings"

_HIDDEN_QUOTE = re.compile(r"(?<!\\)(?:\\\\)*\\'")


def refuse(script: Script, statement: Statement) -> None:
    """Raise ScriptError where a plain string of *statement* holds a quote behind a backslash."""
    text = script.text[statement.start : statement.end]
    if not _HIDDEN_QUOTE.search(text):
        return
    for token in sql.tokens(text):
        if token.kind is TokenKind.STRING and token.text.startswith("'") and _HIDDEN_QUOTE.search(token.text):
            raise refused(
                script,
                statement.start + token.start,
                f"with {SETTING} = off this string does not end where it seems to",
                "double the quote ('') or write E'…', and remove the setting",
            )
