"""What a statement asks of the run that carries it out, told by its leading words.

Only statements whose first word stands in a table below are looked at any further. Each rule was tried on
PostgreSQL 15 (`BEGIN; statement; ROLLBACK`). Words, not a parse tree, decide: a grammar newer or older
than libpg_query's is then classified all the same, and left to the server.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from pgready.core import set_config
from pgready.core.remembered import EVERY_SETTING
from pgready.core.segments import Single
from pgready.core.sql import SCAN_LIMIT_CHARACTERS, tokens
from pgready.core.words import UnreadableName, Words


class Refusal(Exception):
    """Why a statement is not run, and what to write instead; the caller knows the place."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class Role(Enum):
    ORDINARY = "ordinary"
    BEGIN = "begin"
    COMMIT = "commit"
    SETTING = "setting"  # changes the session for the statements that follow
    ABSORBED = "absorbed"  # asks for what the run does anyway
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"
    SINGLE = "single"


class Reading(Struct, frozen=True):
    """What the leading words of a statement say; see Segment for *single*, *target* and *table*. Of what is
    about a savepoint *target* is its name.

    *alone* is set where it runs in a transaction or not, so that a script without one is taken at its word.
    *settings* are what a SETTING sets, EVERY_SETTING for RESET ALL; none where it cannot be said again.
    """

    role: Role = Role.ORDINARY
    single: Single | None = None
    target: str | None = None
    table: str | None = None
    alone: Single | None = None
    settings: tuple[str, ...] = ()


_ORDINARY = Reading()
_ABSORBED = Reading(Role.ABSORBED)
_BEGIN = Reading(Role.BEGIN)
_COMMIT = Reading(Role.COMMIT)
_RUN_AGAIN = Reading(Role.SINGLE, Single.REPEATABLE)
_UNCERTAIN = Reading(Role.SINGLE, Single.UNKNOWN)
_RUN_AGAIN_ALONE = Reading(alone=Single.REPEATABLE)
_UNCERTAIN_ALONE = Reading(alone=Single.UNKNOWN)


# Transaction commands.

_FENCE = "migrations run READ COMMITTED, to see whether another replica was faster: remove it"


def _modes(words: Words) -> None:
    """Refuse transaction modes that the run cannot give; those that are left, it gives or needs not."""
    modes = words.rest.replace(" , ", " ")
    for level in ("serializable", "repeatable read"):
        if f"isolation level {level}" in modes:
            raise Refusal(f"ISOLATION LEVEL {level.upper()} is not possible in a migration", _FENCE)
    if "read only" in modes:
        raise Refusal("a READ ONLY transaction cannot record the migration", "remove READ ONLY")
    if modes.startswith("snapshot"):
        raise Refusal("SET TRANSACTION SNAPSHOT is not possible in a migration", _FENCE)


def _begin(words: Words) -> Reading:
    words.skip("work", "transaction")
    _modes(words)
    return _BEGIN


def _start(words: Words) -> Reading:
    if not words.take("transaction"):
        return _ORDINARY
    _modes(words)
    return _BEGIN


_TWO_PHASE = "prepared transactions outlive the run that records them: use BEGIN … COMMIT"


def _commit(words: Words) -> Reading:
    if words.take("prepared"):
        raise Refusal("COMMIT PREPARED is not possible in a migration", _TWO_PHASE)
    words.skip("work", "transaction")
    _refuse_chain(words, "COMMIT")
    return _COMMIT


def _rollback(words: Words) -> Reading:
    if words.take("prepared"):
        raise Refusal("ROLLBACK PREPARED is not possible in a migration", _TWO_PHASE)
    words.skip("work", "transaction")
    if words.take("to"):
        words.skip("savepoint")
        return Reading(Role.ROLLBACK_TO, target=words.name())
    _refuse_chain(words, "ROLLBACK")
    raise Refusal(
        "ROLLBACK would undo what the migration is recorded to have done",
        "remove it with the statements that it undoes, or use SAVEPOINT and ROLLBACK TO",
    )


def _savepoint(words: Words) -> Reading:
    return Reading(Role.SAVEPOINT, target=words.name())


def _release(words: Words) -> Reading:
    words.skip("savepoint")
    return Reading(Role.RELEASE, target=words.name())


def _refuse_chain(words: Words, command: str) -> None:
    if words.take("and", "chain"):
        raise Refusal(
            f"{command} AND CHAIN is not possible in a migration", "write COMMIT; BEGIN; for two transactions"
        )


def _prepare(words: Words) -> Reading:
    if words.take("transaction"):
        raise Refusal("PREPARE TRANSACTION is not possible in a migration", _TWO_PHASE)
    return _ORDINARY


# Session settings.

_UTF8 = frozenset({"utf8", "utf-8", "unicode", "default"})
_READ_BY_SCANNER = "standard_conforming_strings"


def _set(words: Words) -> Reading:
    if words.take("transaction"):
        _modes(words)
        return _ABSORBED
    if words.next == "constraints":
        return _ORDINARY
    local = words.take("local")
    setting = _setting(words)
    if setting in ('"names"', '"client_encoding"'):
        words.skip("to", "=")
        refuse_encoding(*words.values[:1])
    return _ORDINARY if local else Reading(Role.SETTING, settings=(setting,))


def refuse_encoding(*values: str) -> None:
    """Raise Refusal where client_encoding is set to one of *values* that is none of ours."""
    for value in values:
        if value not in _UTF8:
            raise Refusal(
                f"client_encoding {value!r} is not possible: scripts are sent as UTF-8",
                "save the file as UTF-8 and remove the statement, or write SET client_encoding = 'UTF8'",
            )


def _reset(words: Words) -> Reading:
    setting = EVERY_SETTING if words.next == "all" else _setting(words)
    return Reading(Role.SETTING, settings=(setting,))


def _setting(words: Words) -> str:
    """The setting that comes next; one name for SESSION AUTHORIZATION however it is written."""
    words.skip("session")
    setting = (words.name() or words.rest).lower()
    return '"authorization"' if setting == '"session_authorization"' else setting


def _select(words: Words) -> Reading:
    settings = set_config.selected(words.left)
    return _ORDINARY if settings is None else Reading(Role.SETTING, settings=settings)


def _discard(words: Words) -> Reading:
    if words.next == "all":
        raise Refusal(
            "DISCARD ALL would give up the lock that keeps other replicas out",
            "remove it: every script's session state is reset behind it anyway",
        )
    return _ORDINARY


# Statements that cannot run in a transaction.


def _create(words: Words) -> Reading:
    if words.take("database"):
        return Reading(Role.SINGLE, Single.CREATE_DATABASE, words.name())
    if words.take("tablespace"):
        return _UNCERTAIN
    if words.take("subscription"):
        return _ORDINARY if _makes_no_slot(words) else _UNCERTAIN
    words.skip("unique")
    return _create_index(words) if words.take("index", "concurrently") else _ORDINARY


_OFF = frozenset({"false", "off", "0", "no"})


def _makes_no_slot(words: Words) -> bool:
    values = words.values
    return any(
        option in ("connect", "create_slot") and equals == "=" and value in _OFF
        for option, equals, value in zip(values, values[1:], values[2:], strict=False)
    )


def _create_index(words: Words) -> Reading:
    words.take("if", "not", "exists")
    if words.next == "on":
        raise Refusal(
            "CREATE INDEX CONCURRENTLY without a name",
            "write CREATE INDEX CONCURRENTLY name ON …: after a crash only the name tells if it was built",
        )
    index = words.name()
    if index is None or not words.take("on"):
        return _UNCERTAIN
    words.skip("only")
    return Reading(Role.SINGLE, Single.CREATE_INDEX, index, words.name())


def _drop(words: Words) -> Reading:
    if words.take("index", "concurrently"):
        words.take("if", "exists")
        return Reading(Role.SINGLE, Single.DROP_INDEX, words.name())
    if words.take("database"):
        words.take("if", "exists")
        return Reading(Role.SINGLE, Single.DROP_DATABASE, words.name())
    if words.take("tablespace") or words.take("subscription"):
        return _RUN_AGAIN if words.take("if", "exists") else _UNCERTAIN
    return _ORDINARY


def _alter(words: Words) -> Reading:
    if words.take("table"):
        return _alter_table(words)
    if words.take("system"):
        return _RUN_AGAIN
    if words.take("database"):
        return _RUN_AGAIN if words.has("set", "tablespace") else _ORDINARY
    if words.take("subscription"):
        words.name()
        return _SUBSCRIPTION.get(words.next, _ORDINARY)
    return _ORDINARY


_SUBSCRIPTION = {"refresh": _RUN_AGAIN, "set": _RUN_AGAIN, "add": _UNCERTAIN, "drop": _UNCERTAIN}


def _alter_table(words: Words) -> Reading:
    words.take("if", "exists")
    words.skip("only")
    table = words.name()
    words.skip("*")
    if not words.take("detach", "partition"):
        return _ORDINARY
    partition = words.name()
    if not words.take("concurrently"):
        return _ORDINARY
    return Reading(Role.SINGLE, Single.DETACH_PARTITION, partition, table)


def _reindex(words: Words) -> Reading:
    concurrently = words.next == "(" and _is_on(words.values, "concurrently")
    words.skip_parentheses()
    what = words.next
    words.skip("index", "table", "schema", "database", "system")
    if words.take("concurrently") or concurrently:
        name = words.name() if what in ("index", "table", "schema") else None
        schema, table = (name, None) if what == "schema" else (None, name)
        return Reading(Role.SINGLE, Single.REINDEX, schema, table)
    return _RUN_AGAIN if what in ("database", "schema", "system") else _RUN_AGAIN_ALONE


def _is_on(values: list[str], option: str) -> bool:
    listed = values[: values.index(")")] if ")" in values else values
    if option not in listed:
        return False
    return listed[listed.index(option) + 1 : listed.index(option) + 2] not in [[off] for off in _OFF]


def _vacuum(words: Words) -> Reading:
    return _RUN_AGAIN


def _cluster(words: Words) -> Reading:
    words.skip_parentheses()
    words.skip("verbose")
    return _RUN_AGAIN_ALONE if words.rest else _RUN_AGAIN


def _alone(words: Words) -> Reading:
    return _UNCERTAIN_ALONE


_RULES: dict[str, Callable[[Words], Reading]] = {
    "abort": _rollback,
    "alter": _alter,
    "begin": _begin,
    "call": _alone,
    "cluster": _cluster,
    "commit": _commit,
    "create": _create,
    "discard": _discard,
    "do": _alone,
    "drop": _drop,
    "end": _commit,
    "prepare": _prepare,
    "reindex": _reindex,
    "release": _release,
    "reset": _reset,
    "rollback": _rollback,
    "savepoint": _savepoint,
    "select": _select,
    "set": _set,
    "start": _start,
    "vacuum": _vacuum,
}

# The first words that libpg_query's grammar knows and that run in a transaction.
# fmt: off
_KNOWN = frozenset((
    "analyse", "analyze", "checkpoint", "close", "comment", "copy", "deallocate", "declare", "delete",
    "execute", "explain", "fetch", "grant", "import", "insert", "listen", "load", "lock", "merge", "move",
    "notify", "reassign", "refresh", "revoke", "security", "show", "table",
    "truncate", "unlisten", "update", "values", "with",
))
# fmt: on

# Words without which a statement of that sort is not special; most CREATE and ALTER are plain.
GATES: dict[str, tuple[str, ...]] = {
    "alter": ("concurrently", "system", "tablespace", "subscription"),
    "create": ("concurrently", "database", "tablespace", "subscription"),
    "drop": ("concurrently", "database", "tablespace", "subscription"),
    "select": (set_config.GATE,),
}


def is_special(word: str) -> bool:
    """Whether a statement that starts with *word* may be anything but ordinary."""
    return word in _RULES


def read(word: str, statement: str) -> Reading:
    """What *statement*, whose first word is *word*, asks for. Raises Refusal."""
    rule = _RULES.get(word)
    if rule is None:
        return _ORDINARY if word in _KNOWN or statement.startswith("(") else _UNCERTAIN_ALONE
    if len(statement) > SCAN_LIMIT_CHARACTERS:
        return _ORDINARY
    gates = GATES.get(word)
    if gates:
        lowered = statement.lower()
        if not any(gate in lowered for gate in gates):
            return _ORDINARY
    words = Words(tokens(statement))
    words.take(word)
    try:
        return rule(words)
    except UnreadableName:
        raise Refusal(
            'the name in U&"…" cannot be read', "write the name plainly: after a crash only the name tells"
        ) from None
