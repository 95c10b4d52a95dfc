"""Where settings come from and which source wins (DESIGN 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pgready.core.bootstrap import Extension, Role
from pgready.core.errors import ExitCode, SettingsError
from pgready.core.planning import Policies, Policy
from pgready.core.secrets import Secret
from pgready.settings import Settings, load, required_target
from pgready.settings.catalogue import CATALOGUE, OTHER_VARIABLES
from pgready.settings.sources import read_text_file


def read(
    environ: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    return load(flags or {}, environ or {}, (files or {}).get)


def no_files(path: str) -> str | None:
    return None


def problems(
    environ: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read(environ, files, flags)
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value.problems


def test_defaults_are_those_of_the_design() -> None:
    settings = read()

    assert settings.target is None
    assert settings.admin is None
    assert (settings.dir, settings.dialect, settings.namespace) == ("sql", None, "default")
    assert (settings.connect_timeout_seconds, settings.lock_timeout_seconds) == (60, 600)
    assert (settings.relation_lock_timeout_seconds, settings.statement_timeout_seconds) == (600, 0)
    assert settings.policies == Policies()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.embedded, settings.pooler, settings.environment) == (None, None, None)
    assert settings.notices == ()


@pytest.mark.parametrize("name", ["PGREADY_DIR", "PGREADY_HOST", "PGREADY_EMBEDDED"])
def test_bytes_that_are_no_text_are_a_problem(name: str) -> None:
    assert problems({name: "a\udcff"}) == (f"{name} is not UTF-8 text",)


LAYERS = [
    ("--dir", {"flags": {"dir": "flag"}}),
    ("PGREADY_DIR", {"environ": {"PGREADY_DIR": "variable"}}),
    (".env: PGREADY_DIR", {"files": {".env": "PGREADY_DIR=dotenv"}}),
    ("pgready.toml: dir", {"files": {"pgready.toml": "dir = 'file'"}}),
    ("default", {}),
]


@pytest.mark.parametrize("nearest", range(len(LAYERS)))
def test_the_nearest_source_wins_and_is_named(nearest: int) -> None:
    layers: dict[str, dict[str, object]] = {"flags": {}, "environ": {}, "files": {}}
    for _, layer in LAYERS[nearest:]:
        for source, values in layer.items():
            layers[source].update(values)
    settings = read(layers["environ"], layers["files"], layers["flags"])  # type: ignore[arg-type]

    assert settings.origins["dir"] == LAYERS[nearest][0]


def test_a_file_variable_is_read_without_its_trailing_newline() -> None:
    settings = read({"PGREADY_DIR_FILE": "/run/dir"}, {"/run/dir": "a b\n"})

    assert settings.dir == "a b"
    assert settings.origins["dir"] == "PGREADY_DIR_FILE"


@pytest.mark.parametrize("name", ["PGREADY_DIR", "PGREADY_DATABASE_URL", "POSTGRES_PASSWORD", "DB_HOST"])
def test_both_forms_of_a_variable_are_an_error_that_names_both(name: str) -> None:
    environ = {"POSTGRES_USER": "u", name: "x", f"{name}_FILE": "/x"}

    assert f"{name} and {name}_FILE are both set; set one of them" in problems(environ, {"/x": "x"})


def test_an_empty_variable_is_not_set() -> None:
    settings = read({"PGREADY_DIR": "", "PGREADY_DIR_FILE": "/x", "PGREADY_DIALECT": ""}, {"/x": "y"})

    assert (settings.dir, settings.dialect) == ("y", None)


def test_a_missing_file_is_a_problem_that_does_not_show_the_path() -> None:
    """People put the secret itself there by mistake."""
    (problem,) = problems({"DATABASE_URL": "postgres://u@h/d", "PGPASSWORD_FILE": "hunter2"})

    assert problem == "PGPASSWORD_FILE names a file that does not exist"


def test_an_unreadable_file_is_a_problem() -> None:
    def refuse(path: str) -> str | None:
        if path == "/x":
            raise PermissionError(13, "Permission denied")
        return None

    with pytest.raises(SettingsError, match="PGREADY_DIR_FILE names a file that cannot be read"):
        load({}, {"PGREADY_DIR_FILE": "/x"}, refuse)


@pytest.mark.parametrize("real", ["PGREADY_DIR", "PGREADY_DIR_FILE"])
def test_dotenv_never_wins_over_a_real_variable_in_either_form(real: str) -> None:
    for written in ("PGREADY_DIR=dotenv", "PGREADY_DIR_FILE=/dotenv"):
        settings = read({real: "/real"}, {".env": written, "/real": "/real"})

        assert settings.dir == "/real"


def test_dotenv_does_not_win_over_a_real_variable_by_another_name_of_the_setting() -> None:
    settings = read({"NODE_ENV": "production"}, {".env": "PGREADY_ENV=development"})

    assert settings.environment == "production"


def test_a_byte_order_mark_is_no_part_of_what_a_file_says() -> None:
    bom = "\ufeff"
    settings = read(
        {"DATABASE_URL_FILE": "/url"},
        {"/url": f"{bom}postgres://u:p@h/d", ".env": f"{bom}PGREADY_DIR=a", "pgready.toml": f"{bom}port = 1"},
    )

    assert settings.target is not None
    assert (settings.target.masked, settings.dir, settings.port) == ("postgresql://u:***@h:5432/d", "a", 1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("name", [".env", "pgready.toml"])
def test_a_settings_file_that_is_not_utf_8_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, encoding: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("dir = 'caf\u00e9'", encoding=encoding)

    with pytest.raises(SettingsError) as caught:
        load({}, {}, read_text_file)
    assert caught.value.problems == (f"{name} is not UTF-8 text",)


def test_a_dotenv_that_is_a_virtual_environment_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").mkdir()

    assert load({}, {}, read_text_file).dir == "sql"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("PGREADY_DIR=a", "a"),
        ("export PGREADY_DIR = a ", "a"),
        ("PGREADY_DIR=a b # comment", "a b"),
        ("PGREADY_DIR=a#b", "a#b"),
        ("PGREADY_DIR='a # $b ${X}'", "a # $b ${X}"),
        ('PGREADY_DIR="a\\tb\\"" # comment', 'a\tb"'),
        ("X=1\nPGREADY_DIR=${X}${Y:-2}${Z}", "12"),
        ("X=1\nPGREADY_DIR=${REAL}$X", "real$X"),
        ("# comment\nnonsense\n\r\nPGREADY_DIR=a\r\n", "a"),
        ('PGREADY_DIR="unclosed', '"unclosed'),
    ],
)
def test_dotenv_lines_are_read_as_its_users_write_them(line: str, value: str) -> None:
    assert read({"REAL": "real"}, {".env": line}).dir == value


def test_pyproject_is_read_where_there_is_no_own_file() -> None:
    settings = read({}, {"pyproject.toml": "[tool.pgready]\ndir = 'a'\nport = 1\n[tool.other]\nx = 1"})

    assert (settings.dir, settings.port) == ("a", 1)
    assert settings.origins["dir"] == "pyproject.toml [tool.pgready]: dir"


@pytest.mark.parametrize(
    "text",
    [
        "[ tool.pgready ]\ndir = 'a'",
        "[tool . pgready]\ndir = 'a'",
        '["tool"."pgready"]\ndir = "a"',
        "tool.pgready.dir = 'a'",
        "[tool]\npgready.dir = 'a'",
        "[tool]\n  pgready = { dir = 'a' }",
        "tool = { other = 1, pgready = { dir = 'a' } }",
    ],
)
def test_pyproject_is_read_however_its_table_is_written(text: str) -> None:
    settings = read({}, {"pyproject.toml": text})

    assert (settings.dir, settings.origins["dir"]) == ("a", "pyproject.toml [tool.pgready]: dir")


def test_a_pyproject_that_only_names_pgready_is_not_read_as_toml() -> None:
    text = "[project]\nname = 'pgready'\ndependencies = [\n  'pgready==1',\n  'pgready[lint]'\n]\n[not TOML"

    assert read({}, {"pyproject.toml": text}).dir == "sql"


def test_what_is_no_table_in_pyproject_is_a_problem() -> None:
    text = "[tool]\npgready = 'sql'"

    assert problems({}, {"pyproject.toml": text}) == ("pyproject.toml: tool.pgready must be a table",)


def test_own_file_wins_over_pyproject_and_says_so() -> None:
    settings = read({}, {"pyproject.toml": "[tool.pgready]\ndir = 'a'", "pgready.toml": "dir = 'b'"})

    assert settings.dir == "b"
    assert settings.notices == ("[tool.pgready] of pyproject.toml is not read: there is a pgready.toml",)


def test_broken_toml_is_a_problem_with_its_place_and_without_its_text() -> None:
    (problem,) = problems({}, {"pgready.toml": "database_url = 'postgres://u:hunter2@h/d"})

    assert problem.startswith("pgready.toml: not valid TOML")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("250ms", 0.25),
        ("1h30m", 5400),
        ("7", 7),
        ("0.5", 0.5),
        (" 5M ", 300),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert read({"PGREADY_LOCK_TIMEOUT": text}).lock_timeout_seconds == pytest.approx(seconds)


def test_a_timeout_of_the_server_is_no_longer_than_the_server_takes() -> None:
    (problem,) = problems({"PGREADY_STATEMENT_TIMEOUT": "2147483648ms"})

    assert problem == (
        "PGREADY_STATEMENT_TIMEOUT is longer than the server takes: write at most 24d, or 0 for none"
    )
    assert read({"PGREADY_STATEMENT_TIMEOUT": "2147483647ms"}).statement_timeout_seconds == 2147483.647
    assert read({"PGREADY_LOCK_TIMEOUT": "30d"}).lock_timeout_seconds == 30 * 86400  # our own patience


def test_durations_of_the_file_may_be_numbers() -> None:
    assert read({}, {"pgready.toml": "lock_timeout = 7"}).lock_timeout_seconds == 7


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGREADY_LOCK_TIMEOUT", "-1"),
        ("PGREADY_LOCK_TIMEOUT", "soon"),
        ("PGREADY_LOCK_TIMEOUT", "inf"),
        ("PGREADY_LOCK_TIMEOUT", "9" * 5000),
        ("PGREADY_PORT", "65536"),
        ("PGREADY_PORT", "²"),
        ("PGREADY_POOLER", "transaction"),
        ("PGREADY_CHANGED", "shrug"),
        ("PGREADY_LOG_LEVEL", "loud"),
        ("PGREADY_DIR", "a\0b"),
        ("PGREADY_NAMESPACE", "a\nb"),
        ("PGREADY_EXTENSIONS", "a b=;"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_problem_under_its_origin(variable: str, value: str) -> None:
    (problem,) = problems({variable: value})

    assert problem.startswith(variable)


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        {"PGREADY_DIRR": "a", "PGREADY_PORT": "x", "DATABASE_URL": "nonsense"},
        {"pgready.toml": "dialekt = 1\n[[role]]\nnam = 'x'"},
        {"lock_timeout": "x"},
    )

    assert len(found) >= 6


@pytest.mark.parametrize(
    ("environ", "files", "expected"),
    [
        ({"PGREADY_DIRR": "a"}, {}, "PGREADY_DIRR is no variable of pgready (did you mean PGREADY_DIR?)"),
        (
            {},
            {".env": "PGREADY_DIRR=a"},
            "PGREADY_DIRR is no variable of pgready (did you mean PGREADY_DIR?)",
        ),
        ({"PGREADY_QUAGGA_AND_GNU_FILE": "a"}, {}, "PGREADY_QUAGGA_AND_GNU_FILE is no variable of pgready"),
        ({}, {"pgready.toml": "dialekt = 1"}, "pgready.toml: unknown key dialekt (did you mean dialect?)"),
    ],
)
def test_unknown_names_are_errors_with_a_suggestion(
    environ: dict[str, str], files: dict[str, str], expected: str
) -> None:
    assert problems(environ, files) == (expected,)


@pytest.mark.parametrize("name", [*OTHER_VARIABLES, "PGREADY_TEST_BINDIR", "PGREADY_BENCH_ROUNDS"])
def test_variables_of_other_parts_are_no_errors(name: str) -> None:
    read({name: "x"})


def test_a_variable_that_a_role_s_password_comes_from_is_no_error() -> None:
    toml = "[[role]]\nname = 'app'\npassword_env = 'PGREADY_APP_PASSWORD'"

    settings = read({"PGREADY_APP_PASSWORD": "x"}, {"pgready.toml": toml})

    assert settings.declared.roles == (Role("app", password_env="PGREADY_APP_PASSWORD"),)


@pytest.mark.parametrize(("environ", "password"), [({}, Secret("x")), ({"APP_PASSWORD": "real"}, None)])
def test_a_role_s_password_is_read_from_dotenv_where_the_environment_lacks_it(
    environ: dict[str, str], password: Secret | None
) -> None:
    toml = "[[role]]\nname = 'app'\npassword_env = 'APP_PASSWORD'\n[[role]]\nname = 'group'"

    settings = read(environ, {"pgready.toml": toml, ".env": "APP_PASSWORD=x"})

    assert settings.declared.roles == (
        Role("app", password_env="APP_PASSWORD", password=password),
        Role("group"),
    )


def test_what_kubernetes_sets_for_a_service_named_pgready_is_no_setting() -> None:
    environ = {
        "PGREADY_PORT": "tcp://10.0.0.1:8080",
        "PGREADY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "PGREADY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "PGREADY_SERVICE_HOST": "10.0.0.1",
        "PGREADY_SERVICE_PORT_HTTP": "8080",
        "PGREADY_ADMIN_PORT": "tcp://10.0.0.2:80",
        "PGREADY_ADMIN_SERVICE_PORT": "80",
    }

    assert read(environ).port == 8080


def test_an_unknown_flag_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="no such settings: dirr"):
        read(flags={"dirr": "x"})


def test_policies_are_read_one_by_one() -> None:
    environ = {"PGREADY_OUT_OF_ORDER": "refuse", "PGREADY_AHEAD": "Allow", "PGREADY_CHANGED": "warn"}

    assert read(environ).policies == Policies(Policy.REFUSE, Policy.ALLOW, Policy.WARN, Policy.WARN)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"PGREADY_ENV": "a", "APP_ENV": "b", "NODE_ENV": "c"}, "a"),
        ({"APP_ENV": "b", "NODE_ENV": "c"}, "b"),
        ({"NODE_ENV": "c"}, "c"),
    ],
)
def test_the_environment_has_three_names(environ: dict[str, str], name: str) -> None:
    assert read(environ).environment == name


@pytest.mark.parametrize(("isatty", "log_format"), [(True, "console"), (False, "json")])
def test_the_log_s_format_follows_the_terminal(isatty: bool, log_format: str) -> None:
    assert load({}, {}, no_files, isatty).log_format == log_format
    assert load({}, {"PGREADY_LOG_FORMAT": "logfmt"}, no_files, isatty).log_format == "logfmt"


def test_extensions_of_a_nearer_source_replace_the_file_s() -> None:
    files = {"pgready.toml": "extensions = ['citext']\n[[schema]]\nname = 'app'"}

    assert read({}, files).declared.extensions == (Extension("citext"),)
    settings = read({"PGREADY_EXTENSIONS": "vector,uuid-ossp?,pg_trgm=1.6"}, files)
    assert settings.declared.extensions == (
        Extension("vector"),
        Extension("uuid-ossp", optional=True),
        Extension("pg_trgm", "1.6"),
    )
    assert [schema.name for schema in settings.declared.schemas] == ["app"]


@pytest.mark.parametrize(
    ("value", "embedded"), [("on", ""), ("true", ""), ("0", None), ("off", None), ("./data", "./data")]
)
def test_embedded_is_a_switch_or_a_directory(value: str, embedded: str | None) -> None:
    assert read({"PGREADY_EMBEDDED": value}).embedded == embedded


@pytest.mark.parametrize("value", ["", True, "on"])
def test_a_bare_embedded_flag_is_the_default_directory(value: object) -> None:
    assert read(flags={"embedded": value}).embedded == ""


def test_embedded_by_flag_wins_over_a_configured_database_and_says_so() -> None:
    settings = read({"DATABASE_URL": "postgres://u@h/d"}, flags={"embedded": True})

    assert (settings.target, settings.embedded) == (None, "")
    assert settings.notices == ("DATABASE_URL is ignored: --embedded asks for an embedded one",)


def test_a_configured_database_wins_over_embedded_of_the_file() -> None:
    settings = read({"DATABASE_URL": "postgres://u@h/d"}, {"pgready.toml": "embedded = true"})

    assert settings.target is not None
    assert settings.embedded is None
    assert settings.notices == ("pgready.toml: embedded is ignored: DATABASE_URL configures a database",)


def test_embedded_and_a_database_from_equally_near_sources_are_an_error() -> None:
    found = problems({"DATABASE_URL": "postgres://u@h/d", "PGREADY_EMBEDDED": "on"})

    assert found == ("PGREADY_EMBEDDED and DATABASE_URL are both set; set one of them",)


def test_a_configured_target_is_the_required_one() -> None:
    settings = read({"DATABASE_URL": "postgres://u@h/d"})

    assert required_target(settings) is settings.target


def test_a_file_in_utf_16_without_its_mark_is_no_text() -> None:
    assert problems(files={"pgready.toml": "d\0i\0r\0"}) == ("pgready.toml is not UTF-8 text",)


@pytest.mark.parametrize(("value", "host"), [("['::1', '/run/x']", "::1,/run/x"), ("[]", "127.0.0.1")])
def test_a_list_of_the_file_is_text_with_commas(value: str, host: str) -> None:
    assert read(files={"pgready.toml": f"host = {value}"}).host == host


@pytest.mark.parametrize("value", ["[1]", "{ a = 1 }"])
def test_what_no_setting_can_be_is_a_problem(value: str) -> None:
    found = problems(files={"pgready.toml": f"host = {value}"})

    assert found == ("pgready.toml: host must be text, a number or true/false",)


def test_where_nothing_is_configured_the_message_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="no database is configured") as caught:
        required_target(read())

    assert "DATABASE_URL" in str(caught.value.hint)
    assert "--embedded" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"POSTGRES_URL": "postgres://u:hunter2@h/d"}, "POSTGRES_URL"),
        ({"DB_URL_FILE": "/run/secrets/db"}, "DB_URL_FILE"),
        ({"QUEUE": "postgresql://u:hunter2@h/d", "PG_DSN": "host=h"}, "PG_DSN, QUEUE"),
    ],
)
def test_an_address_under_a_name_that_is_not_read_is_named(environ: dict[str, str], named: str) -> None:
    settings = read({**environ, "URL": "http://h", "PGREADY_ADMIN_DATABASE_URL": "postgres://u:p@h"})

    with pytest.raises(SettingsError) as caught:
        required_target(settings)
    assert str(caught.value.hint).startswith(f"not read: {named}; set PGREADY_DATABASE_URL or ")
    assert settings.origins["target"] == f"not configured (not read: {named})"


def test_every_setting_has_an_origin() -> None:
    origins = read().origins

    renamed = {"database_url": "target", "admin_database_url": "admin"}
    assert {renamed.get(setting.name, setting.name) for setting in CATALOGUE} <= origins.keys()
