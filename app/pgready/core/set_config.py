"""Calls of set_config, and what else a DO block sets: what a later segment can be told again, and what not.

A call is said again where its arguments are plain, and nothing else is: of the rest only running it anew
would tell what it sets, and no code runs twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from pgready.core.bodies import body, executed
from pgready.core.sql import Token, TokenKind

GATE = "set_config"
"""Stands, in lower case, in the text of what calls it."""

_CALLED = re.compile(r'set_config"?\s*(?:\(|--|/\*)', re.IGNORECASE)
_RUNS_LATER = frozenset({"create", "alter", "prepare"})
_BEGINS_STATEMENT = (";", "begin", "then", "else", "loop")
_BETWEEN = ("local", "session", "to", "=")
_FOR_A_TRANSACTION = (["local"], ["transaction"], ["constraints"])
_SETS = re.compile(r"\s*(?:set|reset)\s+(?!local|transaction|constraints)", re.IGNORECASE)


class _Call(Struct, frozen=True):
    """One call; *name* is None where it is computed, *value* what is said there, *end* the index of the token
    behind the call."""

    name: str | None
    value: str
    plain: bool
    local: bool
    end: int


def selected(tokens: Sequence[Token]) -> tuple[str, ...] | None:
    """The settings of a SELECT of which *tokens* are the list, if that is nothing but plain calls; none where
    it sets what cannot be said again, and None where nothing holds longer than its transaction."""
    return _plain(tokens) or (() if _last(tokens) else None)


def may_set(word: str, statement: str) -> bool:
    """Whether *statement*, whose first word is *word*, is worth a closer look."""
    return word == "do" or (word not in _RUNS_LATER and _CALLED.search(statement) is not None)


def computes(word: str, statement: str) -> bool:
    """Whether *statement*, whose first word is *word*, sets for the rest of the session what cannot be said
    again. What functions set that it calls is not seen."""
    own, *blocks = executed(word, statement)
    if word == "select" and _plain(own[1:]):
        return False
    return _last(own) or any(_last(block) or _sets(block) for block in blocks)


def encodings(word: str, statement: str) -> Iterator[str]:
    """What *statement*, whose first word is *word*, sets client_encoding to by a call, or in a DO block."""
    own, *blocks = executed(word, statement)
    for tokens in (own, *blocks):
        calls = (_call(tokens, at) for at in range(len(tokens)))
        yield from (each.value for each in calls if each and (each.name or "").lower() == "client_encoding")
    for tokens in blocks:
        for at in _set_at(tokens):
            said = [each for each in tokens[at + 1 : at + 6] if each.text not in _BETWEEN]
            if _texts(said[:1]) in (["client_encoding"], ["names"]):
                yield _said(said[1:2])


def _plain(tokens: Sequence[Token]) -> tuple[str, ...]:
    names: list[str] = []
    at = 0
    while True:
        at += 2 * (_texts(tokens[at : at + 2]) == ["pg_catalog", "."])
        call = _call(tokens, at)
        if call is None or call.name is None or not call.plain:
            return ()
        names.append(_setting(call.name))
        at = call.end + 2 * (_texts(tokens[call.end : call.end + 1]) == ["as"])
        if at >= len(tokens):
            return tuple(names)
        if tokens[at].text != ",":
            return ()
        at += 1


def _setting(name: str) -> str:
    """*name* as a name of a setting that was read from SET is given."""
    quoted = ".".join(f'"{part}"' for part in name.lower().split("."))
    return '"authorization"' if quoted == '"session_authorization"' else quoted


def _last(tokens: Sequence[Token]) -> bool:
    """Whether a call in *tokens* holds longer than its transaction."""
    calls = (_call(tokens, at) for at in range(len(tokens)))
    return any(call is not None and not call.local for call in calls)


def _call(tokens: Sequence[Token], at: int) -> _Call | None:
    """The call that begins at the token *at*."""
    if _texts(tokens[at : at + 2]) not in (["set_config", "("], ['"set_config"', "("]):
        return None
    arguments, end = _arguments(tokens, at + 2)
    name, value, local = (*arguments, [], [], [])[:3]
    return _Call(
        name=_literal(name),
        value=_said(value),
        plain=_literal(value) is not None and _texts(local) == ["false"],
        local=_texts(local)[-1:] == ["true"],
        end=end,
    )


def _arguments(tokens: Sequence[Token], at: int) -> tuple[list[list[Token]], int]:
    """The arguments that begin at the token *at*, and the index behind their parenthesis."""
    found: list[list[Token]] = [[]]
    depth = 1
    for end in range(at, len(tokens)):
        text = tokens[end].text
        depth += (text in ("(", "[")) - (text in (")", "]"))
        if depth == 0:
            return found, end + 1
        if text == "," and depth == 1:
            found.append([])
        else:
            found[-1].append(tokens[end])
    return found, len(tokens)


def _literal(argument: Sequence[Token]) -> str | None:
    """What a plain string says, with a cast to text or without; None of all else."""
    if len(argument) not in (1, 3) or argument[0].kind is not TokenKind.STRING:
        return None
    if argument[0].text[0] not in "'$":  # with escapes, perhaps
        return None
    if len(argument) == 3 and _texts(argument[1:]) != ["::", "text"]:
        return None
    return body(argument[0].text)[1]


def _said(argument: Sequence[Token]) -> str:
    plain = _literal(argument)
    return (" ".join(_texts(argument)) if plain is None else plain).lower()


def _sets(tokens: Sequence[Token]) -> bool:
    """Whether a block has a SET or RESET of its own that holds on, or executes one."""
    if any(_texts(tokens[at + 1 : at + 2]) not in _FOR_A_TRANSACTION for at in _set_at(tokens)):
        return True
    for at, token in enumerate(tokens):
        if token.kind is TokenKind.STRING and _SETS.match(body(token.text)[1]):
            before = _texts(tokens[max(at - 3, 0) : at])
            if before[-1:] == ["execute"] or before == ["execute", "format", "("]:
                return True
    return False


def _set_at(tokens: Sequence[Token]) -> Iterator[int]:
    """Where a SET or RESET of a block's own begins; that of an UPDATE is none."""
    before = ";"
    for at, token in enumerate(tokens):
        if token.text in ("set", "reset") and before in _BEGINS_STATEMENT:
            yield at
        before = token.text


def _texts(tokens: Sequence[Token]) -> list[str]:
    return [token.text for token in tokens]
