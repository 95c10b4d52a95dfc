"""Whatever the settings say: values or problems, never a traceback, and never a piece of a password."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgready.commands.config import render as render_config
from pgready.commands.main import run
from pgready.core import dsn_parameters as known
from pgready.core.errors import ExitCode, SettingsError, render
from pgready.settings import CATALOGUE, load
from pgready.settings.catalogue import Setting

MANY = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])

LETTERS = "QXZJÜ"
"""In no message of ours, so that a piece that is found is the password's."""

PIECE = 3

texts = st.text(max_size=12) | st.sampled_from(
    ["", "0", "-1", "--5", "1e9", "²", "on", "\0", "\ud800", "'", "~", "="]
)
numbers = st.integers(-(10**30), 10**30).map(str)
durations = st.builds(
    "{}{}".format, numbers | st.floats().map(str), st.sampled_from(["", "s", "ms", "d", "h1m"])
)
values = (
    texts | numbers | durations | st.sampled_from(["refuse", "json", "any", "true", "127.0.0.1", "/run/x"])
)

Environ = dict[str, str]
Place = Callable[[Setting, str], tuple[dict[str, object], Environ, Environ]]

PLACES: dict[str, Place] = {
    "flag": lambda setting, value: ({setting.name: value}, {}, {}),
    "variable": lambda setting, value: ({}, {setting.variable: value}, {}),
    "file of a variable": lambda setting, value: ({}, {f"{setting.variable}_FILE": "/x"}, {"/x": value}),
    "a file's name": lambda setting, value: ({}, {f"{setting.variable}_FILE": value}, {}),
    "dotenv": lambda setting, value: ({}, {}, {".env": f'{setting.variable}="{value}"'}),
    "settings file": lambda setting, value: ({}, {}, {"pgready.toml": f"{setting.name} = {value}"}),
    "settings file, quoted": lambda setting, value: ({}, {}, {"pgready.toml": f"{setting.name} = '{value}'"}),
}


def told(flags: Mapping[str, object], environ: Environ, files: Environ) -> list[str]:
    """Everything that a person could see of these settings. Lets nothing but a SettingsError pass."""
    try:
        found = load(flags, environ, files.get)
    except SettingsError as error:
        assert error.exit_code is ExitCode.USAGE
        return [render(error)]
    return [render_config(found, "table"), render_config(found, "json"), repr(found), *found.notices]


@pytest.mark.parametrize("place", PLACES)
@MANY
@given(setting=st.sampled_from(CATALOGUE), value=values)
def test_any_value_of_any_setting_is_read_or_told_to_be_wrong(
    place: str, setting: Setting, value: str
) -> None:
    assert told(*PLACES[place](setting, value))


passwords = st.text(st.sampled_from(LETTERS + "@:/?#[]%&=+ '\"\\,;$!*"), min_size=PIECE, max_size=16)
names = st.sampled_from(sorted(known.KNOWN - {"password", "sslpassword"})) | st.sampled_from(
    ["app.x", "zebra"]
)
choices = st.sampled_from(
    sorted({word for words in {**known.CHOICES, **known.ONLY}.values() for word in words})
)
parameters = st.lists(st.tuples(names, choices | texts.filter(lambda text: "\ud800" not in text)), max_size=4)


def encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="replace"))


def url(parts: list[tuple[str, str]], password: str, host: str, scheme: str) -> str:
    query = "&".join(f"{name}={encoded(value)}" for name, value in parts)
    return f"{scheme}://user:{encoded(password)}@{host}/name?{query}"


def url_with_the_password_behind(parts: list[tuple[str, str]], password: str, host: str, scheme: str) -> str:
    query = "&".join(f"{name}={encoded(value)}" for name, value in [*parts, ("password", password)])
    return f"{scheme}://user@{host}/name?{query}"


def keywords(parts: list[tuple[str, str]], password: str, host: str, scheme: str) -> str:
    quoted = (value.replace("\\", "\\\\").replace("'", "\\'") for _, value in (*parts, ("", password)))
    words = zip([*(name for name, _ in parts), "password"], quoted, strict=True)
    return " ".join([f"host={host}", *(f"{name}='{value}'" for name, value in words)])


FORMS = (url, url_with_the_password_behind, keywords)


def pieces(text: str) -> set[str]:
    found = {text[at : at + PIECE] for at in range(len(text) - PIECE + 1)}
    return {piece for piece in found if set(piece) & set(LETTERS)}


@pytest.mark.parametrize("variable", ["DATABASE_URL", "PGREADY_ADMIN_DATABASE_URL"])
@MANY
@given(
    parts=parameters,
    password=passwords,
    form=st.sampled_from(FORMS),
    host=st.sampled_from(["h", "h:0", ":", "a,b"]),
    scheme=st.sampled_from(["postgres", "mysql", "zebra"]),
)
def test_no_address_shows_a_piece_of_its_password_whatever_its_parameters(
    variable: str,
    parts: list[tuple[str, str]],
    password: str,
    form: Callable[..., str],
    host: str,
    scheme: str,
) -> None:
    shown, without = (
        "\n".join(told({}, {variable: form(parts, secret, host, scheme)}, {}))
        for secret in (password, "x" * len(password))
    )

    # A parameter may say by chance what stands in the password, too.
    assert [piece for piece in pieces(password) if piece in shown and piece not in without] == []


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    setting=st.sampled_from([each for each in CATALOGUE if each.name != "embedded"]),
    value=values.filter(lambda text: "\0" not in text and "\ud800" not in text),
)
def test_the_command_line_ends_with_a_documented_code_whatever_a_flag_says(
    capsys: pytest.CaptureFixture[str], setting: Setting, value: str
) -> None:
    code = run(["config", f"{setting.flag}={value}"])

    written = capsys.readouterr()
    assert code in (ExitCode.DONE, ExitCode.USAGE)
    assert "Traceback" not in written.err and "defect" not in written.err


WORDS = (
    "postgres://user:QXZJ@host/name",
    "user:QXZJ@host",
    "password=QXZJ",
    "host=h password='QX Z'",
    "--x://QXZ@h=1",
)
CALLS = (
    (),
    ("up",),
    ("up", "--output"),
    ("wait", "--url"),
    ("schema", "a"),
    ("nothing",),
    ("--zebra",),
    ("up", "-z"),
)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("before", CALLS, ids=" ".join)
def test_an_address_in_the_wrong_place_of_the_command_line_is_not_repeated(
    capsys: pytest.CaptureFixture[str], before: tuple[str, ...], word: str
) -> None:
    code = run([*before, word])

    written = capsys.readouterr()
    assert code == ExitCode.USAGE
    assert [piece for piece in pieces(word) if piece in written.out + written.err] == []
