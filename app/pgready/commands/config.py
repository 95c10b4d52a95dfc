"""`pgready config`: the settings in effect and where each came from; secrets are `***`."""

from __future__ import annotations

import textwrap
from typing import Literal

import click
import msgspec

from pgready.commands.console import tell
from pgready.commands.options import load_settings, output_option, settings_options
from pgready.commands.process import finish, show
from pgready.core.bootstrap import DatabaseSpec, DefaultPrivileges, Grant
from pgready.core.dsn import Dsn
from pgready.core.secrets import mask_secrets
from pgready.settings import CATALOGUE, Settings

_RENAMED = {"database_url": "target", "admin_database_url": "admin", "env": "environment"}
_ORIGIN_COLUMNS = 30
_VALUE_COLUMNS = 60
_IN_SECONDS_MS = 60_000
_POLICIES = ("out_of_order", "ahead", "changed", "missing", "cosmetic")


@click.command("config")
@settings_options
@output_option
@click.option("--files", is_flag=True, help="the migration folder's files, and what each was read as")
def command(output: Literal["table", "json"], files: bool, **flags: object) -> int:
    """Show the settings in effect, where each came from, and what was read; secrets are `***`."""
    settings = load_settings(flags)
    if not files:
        show(render(settings, output))
        return 0

    async def work() -> int:
        show(await _files(settings, output))
        return 0

    return finish(work, lambda error: tell(error, settings.log_format))


async def _files(settings: Settings, output: Literal["table", "json"]) -> str:
    from pgready.running import assemble

    source = await assemble.read_source(settings)
    folder = source.folder
    read = [
        *((script.path, "bootstrap") for script in (each.script for each in folder.bootstrap)),
        *((each.script.path, f"version {each.version}") for each in folder.migrations),
        *((each.revert.path, f"reverts {each.version}") for each in folder.migrations if each.revert),
        *((each.script.path, "repeatable") for each in folder.repeatables),
        *((script.path, "check") for script in folder.checks),
        *((path, "never run") for path in folder.skipped),
        *((path, "ignored") for path in folder.ignored),
    ]
    if output == "json":
        document = {"schema": 1, "dialect": folder.dialect, "files": dict(read)}
        return msgspec.json.encode(document).decode()
    width = max((len(path) for path, _ in read), default=0)
    return "\n".join([f"dialect: {folder.dialect}", *(f"{path:<{width}}  {what}" for path, what in read)])


def render(settings: Settings, output: Literal["table", "json"]) -> str:
    """*settings* for people or for programs, without a newline at the end."""
    return _json(settings) if output == "json" else _table(settings)


def _table(settings: Settings) -> str:
    """Name, origin, value; what is long goes to the right, or below."""
    rows = [(name, origin, _lines(name, value)) for name, value, origin in _rows(settings)]
    names = max(len(name) for name, *_ in rows)
    origins = min(_ORIGIN_COLUMNS, max(len(origin) for _, origin, _ in rows))
    below = " " * (names + 2 + origins)
    lines = []
    for name, origin, values in rows:
        head = f"{name:<{names}}  {origin:<{origins}}"
        if len(origin) > origins:
            lines.append(head)
            head = below
        lines += [f"{head}  {values[0]}", *(f"{below}  {value}" for value in values[1:])]
    return "\n".join([*lines, *(f"note: {notice}" for notice in settings.notices)])


def _json(settings: Settings) -> str:
    found = {name: {"value": value, "origin": origin} for name, value, origin in _rows(settings)}
    document = {"schema": 1, "settings": found, "notices": settings.notices}
    return msgspec.json.encode(document, enc_hook=mask_secrets).decode()


def _rows(settings: Settings) -> list[tuple[str, object, str]]:
    rows = [
        (setting.name, _value(settings, setting.name), _origin(settings, setting.name))
        for setting in CATALOGUE
        if setting.name != "extensions"
    ]
    declared = msgspec.structs.asdict(settings.declared)
    return rows + [(name, value, _declared_origin(settings, name)) for name, value in declared.items()]


def _declared_origin(settings: Settings, name: str) -> str:
    """The file's keys are singular where they are written once for each thing (`[[role]]`)."""
    keys = (name, name.removesuffix("s"))
    return next((settings.origins[key] for key in keys if key in settings.origins), "default")


def _value(settings: Settings, name: str) -> object:
    if name in _POLICIES:
        return getattr(settings.policies, name)
    if name.endswith(("_timeout", "_interval")):
        return f"{getattr(settings, f'{name}_seconds'):.6f}".rstrip("0").rstrip(".") + "s"
    if name == "embedded":
        return {None: "off", "": "on"}.get(settings.embedded, settings.embedded)
    value = getattr(settings, _RENAMED.get(name, name))
    return _address(value) if isinstance(value, Dsn) else value


def _origin(settings: Settings, name: str) -> str:
    return settings.origins[{"database_url": "target", "admin_database_url": "admin"}.get(name, name)]


def _address(dsn: Dsn) -> str:
    """The masked URL with what else decides how the connection is made."""
    return f"{dsn.masked}?sslmode={dsn.sslmode}"


def _lines(name: str, value: object) -> list[str]:
    """*value* for people, at least one line."""
    if name.endswith(("_timeout", "_interval")):
        return [_duration(str(value))]
    if value is None or value == ():
        return ["-"]
    if isinstance(value, DatabaseSpec):
        said = ((key, each) for key, each in msgspec.structs.asdict(value).items() if each is not None)
        return [f"{key} {each}" for key, each in said] or ["-"]
    if not isinstance(value, tuple):
        plain = msgspec.to_builtins(value, enc_hook=mask_secrets)
        return [plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()]
    lines = [_grant(each) for each in value if isinstance(each, Grant | DefaultPrivileges)]
    return lines or textwrap.wrap(
        ", ".join(each.name for each in value),
        _VALUE_COLUMNS,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _grant(grant: Grant | DefaultPrivileges) -> str:
    if isinstance(grant, DefaultPrivileges):
        on = f"new {grant.on}" + (f" in {grant.schema}" if grant.schema else "")
        on += f" of {grant.owner}" if grant.owner else ""
    elif grant.kind.startswith("all_"):
        on = f"{grant.kind.replace('_', ' ')} in {', '.join(grant.names)}"
    else:
        on = f"{grant.kind} {', '.join(grant.names)}".rstrip()
    return f"{', '.join(grant.privileges)} on {on} to {', '.join(grant.to)}"


def _duration(text: str) -> str:
    """A number of seconds with an `s`, as people write it: `600s` is `10m`."""
    left_ms = round(float(text.removesuffix("s")) * 1000)
    if left_ms == 0:
        return "0" if text == "0s" else text
    if left_ms <= _IN_SECONDS_MS and left_ms % 1000 == 0:
        return f"{left_ms // 1000}s"
    parts = []
    for unit, unit_ms in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        number, left_ms = divmod(left_ms, unit_ms)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)
