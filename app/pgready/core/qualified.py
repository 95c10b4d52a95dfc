"""Qualified names as people write them: `schema.name`, as the database spells them."""

from __future__ import annotations

import re

from pgready.core.model import TableName

_PART = r'"(?:[^"]|"")+"|[^".]+'
"""Double quotes stand around a part that holds a dot or a quote, which is written twice there."""


def read_name(text: str) -> TableName:
    """The schema and the name in *text*, upper and lower case as they are. Raises ValueError."""
    found = re.fullmatch(rf"({_PART})\.({_PART})", text)
    if found is None:
        if '"' in text or text.count(".") > 1:
            raise ValueError(
                f'{text}: put double quotes around the part that holds a dot, "a.b".c or a."b.c"'
            )
        raise ValueError(f"{text} must be written schema.name")
    return TableName(_plain(found[1]), _plain(found[2]))


def _plain(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
