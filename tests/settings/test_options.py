"""The settings as options of the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pgready.commands.main import run
from pgready.settings import CATALOGUE
from pgready.settings.catalogue import Setting


@pytest.fixture
def helped(capsys: pytest.CaptureFixture[str]) -> str:
    """What `pgready up --help` says, in one line."""
    assert run(["up", "--help"]) == 0
    return re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.mark.parametrize("setting", CATALOGUE, ids=lambda each: each.name)
def test_the_help_says_what_a_setting_takes_and_its_default(setting: Setting, helped: str) -> None:
    told = helped.partition(f" {setting.flag} ")[2].partition(" --")[0]
    default = f"[default: {setting.default}]"

    assert told.startswith(f"{setting.form} ")
    assert told.endswith(default) if setting.default is not None else "[default:" not in told


@pytest.mark.parametrize(
    "setting",
    [each for each in CATALOGUE if each.form in ("URL", "PATH", "LIST")],
    ids=lambda each: each.name,
)
def test_text_of_any_kind_holds_no_nul(setting: Setting) -> None:
    assert setting.read("a b") == "a b"
    with pytest.raises(ValueError, match="NUL"):
        setting.read("a\0b")


@pytest.mark.parametrize(
    ("arguments", "value", "origin"),
    [
        (["--show-sql"], True, "--show-sql"),
        (["--show-sql", "--dir", "x"], True, "--show-sql"),
        (["--show-sql", "true"], True, "--show-sql"),
        (["--show-sql", "off"], False, "--show-sql"),
        (["--show-sql=false"], False, "--show-sql"),
        ([], False, "default"),
    ],
)
def test_a_switch_may_stand_without_a_value(
    arguments: list[str], value: bool, origin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "--output", "json", *arguments]) == 0

    found = json.loads(capsys.readouterr().out)["settings"]["show_sql"]
    assert found == {"value": value, "origin": origin}


@pytest.mark.parametrize(
    ("arguments", "environ", "named"),
    [
        (["--history-table", "done"], {}, "--history-table"),
        ([], {"PGREADY_HISTORY_TABLE": "done"}, "PGREADY_HISTORY_TABLE"),
    ],
)
def test_a_history_table_that_cannot_be_is_told_where_it_was_named(
    arguments: list[str],
    environ: dict[str, str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1;")
    monkeypatch.setenv("PGREADY_LOG_FORMAT", "console")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    code = run(["config", "--files", "--dir", str(tmp_path), "--dialect", "native", *arguments])

    assert code == 2
    assert capsys.readouterr().err.startswith(f"error: {named}: native's history is always ")


@pytest.mark.parametrize(
    "words",
    [
        "--changed [refuse|warn|allow] a file that changed after it was applied [default: refuse]",
        "--connect-timeout DURATION total patience for the server [default: 60s]",
        "--statement-timeout DURATION ",
        "--dir PATH ",
        "--show-sql [=true|false] ",
        "--database-url URL ",
        "--log-format [console|json|logfmt] ",
    ],
)
def test_the_help_is_in_the_words_of_the_reference(words: str, helped: str) -> None:
    assert words in helped
