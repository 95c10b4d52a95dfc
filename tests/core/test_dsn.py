"""Connection text in every form that people and tools write (FIELD-NOTES 6 to 8)."""

from __future__ import annotations

import copy
import json
import pickle

import msgspec
import pytest

from pgready.core.dsn import Dsn, DsnError, parse
from pgready.core.errors import ExitCode, SettingsError
from pgready.core.secrets import Secret, mask_secrets


def problem(text: str) -> str:
    with pytest.raises(DsnError) as caught:
        parse(text)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    "text",
    [
        "postgres://u:p@h:5433/d",
        "postgresql://u:p@h:5433/d",
        "POSTGRESQL://u:p@h:5433/d",
        "postgresql+asyncpg://u:p@h:5433/d",
        "postgresql+psycopg://u:p@h:5433/d",
        "postgresql+psycopg2://u:p@h:5433/d",
        "postgis://u:p@h:5433/d",
        '"postgres://u:p@h:5433/d"',
        " 'postgres://u:p@h:5433/d'\n",
        "postgres://%75:%70@%68:5433/%64",
        "postgres:///d?host=h&port=5433&user=u&password=p",
        "postgres://other:1/d?host=h&port=5433&user=u&password=p",
        "postgres://u:p@h:5433?dbname=d",
        "postgres://u:p@h:5433?database=d",
        "host=h port=5433 user=u password=p dbname=d",
        "host = h  port = '5433' user='u' password='p'\ndbname=d",
        "dbname=d user=u password=p host=h:5433",
    ],
)
def test_every_form_of_one_address_reads_the_same(text: str) -> None:
    assert parse(text) == Dsn((("h", 5433),), "u", Secret("p"), "d")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgres://u@h/d", [("h", 5432)]),
        ("postgres://u@h:/d", [("h", 5432)]),
        ("postgres://u@[::1]/d", [("::1", 5432)]),
        ("postgres://u@[fe80::1]:6000/d", [("fe80::1", 6000)]),
        ("postgres://u@a,b/d", [("a", 5432), ("b", 5432)]),
        ("postgres://u@a:1,b:2,[::1]:3/d", [("a", 1), ("b", 2), ("::1", 3)]),
        ("postgres://u@a,b:2/d", [("a", 5432), ("b", 2)]),
        ("postgres://u@a,b/d?port=7", [("a", 7), ("b", 7)]),
        ("postgres://u@/d?host=a:1&host=b:2", [("a", 1), ("b", 2)]),
        ("postgres://u@/d?host=/var/run/postgresql", [("/var/run/postgresql", 5432)]),
        ("postgres://u@localhost/d?host=/cloudsql/p:r:i", [("/cloudsql/p:r:i", 5432)]),
        ("postgres://u@%2Ftmp:6000/d", [("/tmp", 6000)]),
        ("postgres://u@%2Ftmp,h/d", [("/tmp", 5432), ("h", 5432)]),
        ("host=/tmp user=u", [("/tmp", 5432)]),
        ("host=::1 user=u", [("::1", 5432)]),
        ("host=a,b port=1,2 user=u", [("a", 1), ("b", 2)]),
        ("hostaddr=10.0.0.1 host=h user=u", [("10.0.0.1", 5432)]),
        ("postgres:///d", [("/var/run/postgresql", 5432), ("/tmp", 5432), ("localhost", 5432)]),
    ],
)
def test_hosts_ports_and_sockets(text: str, hosts: list[tuple[str, int]]) -> None:
    assert parse(text).hosts == tuple(hosts)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("p@ss", "p@ss"),
        ("p:s:s", "p:s:s"),
        ("p%40%2F%3F%23ss", "p@/?#ss"),
        ("100%", "100%"),
        ("a b", "a b"),
        ("a+b", "a+b"),
        ("[x]", "[x]"),
        ("pä%C3%B6", "päö"),
        ("a&b=c", "a&b=c"),
    ],
)
def test_a_password_in_a_url_may_be_raw_where_it_is_unambiguous(written: str, meant: str) -> None:
    assert parse(f"postgres://u:{written}@h/d").password == Secret(meant)


@pytest.mark.parametrize("character", ["/", "?", "#"])
def test_a_raw_character_that_ends_the_authority_is_refused_with_the_cure(character: str) -> None:
    text = problem(f"postgres://u:abc{character}def@h/d")

    assert "percent-encode" in text
    assert "abc" not in text
    assert "def" not in text


@pytest.mark.parametrize(
    ("written", "meant"),
    [("'a b'", "a b"), (r"'a\'b'", "a'b"), (r"a\ b", "a b"), (r"'\\'", "\\"), ("a'b", "a'b"), ("a#b", "a#b")],
)
def test_keyword_values_are_quoted_as_libpq_quotes_them(written: str, meant: str) -> None:
    assert parse(f"user=u password={written} dbname=d").password == Secret(meant)


@pytest.mark.parametrize(
    ("query", "sslmode"),
    [
        ("", "prefer"),
        ("sslmode=disable", "disable"),
        ("sslmode=verify-full", "verify-full"),
        ("sslmode=no-verify", "require"),
        ("ssl=true", "require"),
        ("ssl=false", "disable"),
        ("ssl=require", "require"),
        ("ssl=true&sslmode=verify-ca", "verify-ca"),
        ("sslrootcert=system", "verify-full"),
        ("channel_binding=prefer", "prefer"),
        ("channel_binding=require", "require"),
        ("channel_binding=require&sslmode=verify-full", "verify-full"),
        ("sslaccept=strict", "verify-full"),
        ("sslaccept=accept_invalid_certs", "require"),
    ],
)
def test_tls_modes_of_every_driver_become_libpq_s(query: str, sslmode: str) -> None:
    assert parse(f"postgres://u@h/d?{query}").sslmode == sslmode


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslrootcert=system&sslmode=require", "sslrootcert=system needs sslmode=verify-full"),
        ("channel_binding=require&sslmode=disable", "channel_binding=require contradicts sslmode=disable"),
        ("hostaddr=10.0.0.1&sslmode=verify-full", "hostaddr cannot be combined"),
        ("sslmode=always", "sslmode must be one of disable, allow"),
        ("sslpassword=hunter2", "sslpassword cannot be kept: a TLS key with a passphrase"),
        ("gssencmode=require", "gssencmode must be one of disable, prefer"),
        ("connect_timeout=soon", "connect_timeout must be a whole number of seconds"),
        ("connect_timeout=--5", "connect_timeout must be a whole number of seconds"),
        ("port=0", "a port is not a number from 1 to 65535"),
        ("port=99999", "a port is not a number from 1 to 65535"),
        ("host=a,b&port=1,2,3", "2 hosts but 3 ports"),
        ("host=a&port=1,2", "1 host but 2 ports"),
        ("user=a&user=b", "a parameter is there twice"),
        ("user", "no ="),
        ("options=-c%20broken", "options holds a -c without name=value"),
        ("sslmod=require", "unknown parameter sslmod (did you mean sslmode?)"),
        ("zebra=1", "unknown parameter zebra"),
        ("service=x", "service works in settings only"),
        ("user=%ff", "not UTF-8"),
        ("user=%00", "not UTF-8"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_line(query: str, expected: str) -> None:
    text = problem(f"postgres://h/d?{query}")

    assert expected in text
    assert "\n" not in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "mysql://u:hunter2@h/d",
        "hunter2://h",
        "u:hunter2@h/d",
        "postgres://u:hunter2",
        "postgres://u:hunter2@h/\0",
        "host=h password=hunter2 password=x",
        "postgres://u:hunter2@h/d\ud800",
        # Found by generated passwords: each was taken for another address, or its name shown.
        "hunter2==",
        "postgres://u:/hunter2",
        "postgres://u:,hunter2",
        "postgres://u:@;hunter2",
        "host=h password=a hunter2=b",
        "postgres://h/d?password=a&hunter2=b",
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(text: str) -> None:
    assert "hunter2" not in problem(text)


def test_all_problems_of_one_address_are_reported_at_once() -> None:
    assert len(problem("postgres://u@h:0/d?sslmod=1&ssl=maybe").splitlines()) == 3


def test_a_problem_of_several_hosts_is_reported_once() -> None:
    assert len(problem("postgres://u@h:0,g:0/d").splitlines()) == 1


def test_an_error_is_a_settings_error_and_a_value_error() -> None:
    with pytest.raises(ValueError, match="neither a URL") as caught:
        parse("nonsense")

    assert isinstance(caught.value, SettingsError)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    "query",
    [
        "pgbouncer=true",
        "connection_limit=1",
        "pool_timeout=10",
        "keepalives=1",
        "keepalives_idle=30",
        "statement_cache_size=0",
        "x-statement-timeout=5",
        "channel_binding=require",
    ],
)
def test_parameters_of_others_are_dropped_with_a_note(query: str) -> None:
    name = query.partition("=")[0]

    (note,) = parse(f"postgres://u@h/d?{query}").notes
    assert note.startswith(name)


@pytest.mark.parametrize(
    "query", ["gssencmode=disable", "client_encoding=utf8", "sslnegotiation=postgres", "replication=false"]
)
def test_parameters_that_ask_for_what_is_so_anyway_pass_in_silence(query: str) -> None:
    assert parse(f"postgres://u@h/d?{query}") == parse("postgres://u@h/d")


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("-c%20search_path%3Da", {"search_path": "a"}),
        ("-csearch_path%3Da%20-c%20geqo%3Doff", {"search_path": "a", "geqo": "off"}),
        ("--work-mem%3D5MB", {"work_mem": "5MB"}),
        ("%20-c%20%20geqo%3Doff%20%20", {"geqo": "off"}),
        ("-c%20search_path%3Da,%5C%20b", {"search_path": "a, b"}),
        ("endpoint%3Dep-x", {"options": "endpoint=ep-x"}),
        ("--cluster%3Dc", {"options": "--cluster=c"}),
    ],
)
def test_options_become_server_settings(options: str, settings: dict[str, str]) -> None:
    assert parse(f"postgres://u@h/d?options={options}").server_settings == settings


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("statement_timeout=500", "statement_timeout"),
        ("lock_timeout=500", "lock_timeout"),
        ("idle_in_transaction_session_timeout=500", "idle_in_transaction_session_timeout"),
        ("idle_session_timeout=500", "idle_session_timeout"),
        ("transaction_timeout=500", "transaction_timeout"),
        ("options=-c%20statement_timeout%3D500", "statement_timeout"),
        ("options=--lock-timeout%3D500", "lock_timeout"),
        ("options=-cStatement_Timeout%3D500", "Statement_Timeout"),
    ],
)
def test_a_timeout_that_every_session_sets_itself_is_dropped_with_a_note(query: str, name: str) -> None:
    dsn = parse(f"postgres://u@h/d?{query}")

    assert dsn.server_settings == {}
    assert [note.partition(":")[0] for note in dsn.notes] == [f"{name} is ignored"]


def test_server_settings_may_be_named_directly_as_asyncpg_and_pgx_allow() -> None:
    dsn = parse("postgres://u@h/d?search_path=a&app.tenant=7")

    assert dsn.server_settings == {"search_path": "a", "app.tenant": "7"}


@pytest.mark.parametrize(
    ("query", "schema"), [("", None), ("schema=app", "app"), ("currentSchema=app", "app")]
)
def test_schema_of_prisma_is_kept(query: str, schema: str | None) -> None:
    assert parse(f"postgres://u@h/d?{query}").schema == schema


@pytest.mark.parametrize(("written", "seconds"), [("10", 10.0), ("0", None), ("-1", None)])
def test_connect_timeout_of_zero_is_none(written: str, seconds: float | None) -> None:
    assert parse(f"postgres://u@h/d?connect_timeout={written}").connect_timeout_seconds == seconds


@pytest.mark.parametrize(
    ("text", "attrs"),
    [
        ("postgres://u@a/d", "any"),
        ("postgres://u@a,b/d", "primary"),
        ("postgres://u@a,b/d?target_session_attrs=standby", "standby"),
        ("postgres:///d", "any"),
    ],
)
def test_of_several_hosts_the_primary_is_meant(text: str, attrs: str) -> None:
    assert parse(text).target_session_attrs == attrs


def test_user_and_database_default_without_asking_the_system() -> None:
    dsn = parse("postgres://h")

    assert (dsn.user, dsn.database, dsn.password) == ("postgres", "postgres", None)


def test_defaults_fill_what_the_text_leaves_out() -> None:
    dsn = parse("postgres://h", defaults={"user": "u", "host": "other"})

    assert (dsn.user, dsn.database, dsn.hosts) == ("u", "u", (("h", 5432),))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://u:p@h/d", "postgresql://u:***@h:5432/d"),
        ("postgres://u@h/d", "postgresql://u@h:5432/d"),
        ("postgres://u:p@[::1],h/d", "postgresql://u:***@[::1]:5432,h:5432/d"),
        ("host=/tmp user='a b' dbname=x/y", "postgresql://a%20b@%2Ftmp/x%2Fy"),
    ],
)
def test_masked_is_the_url_without_the_password(text: str, masked: str) -> None:
    assert parse(text).masked == masked


def test_masked_reads_as_an_address_again() -> None:
    dsn = parse("postgres://u@[::1]:1,h:2,%2Ftmp/d%2F")

    assert parse(dsn.masked) == dsn


def test_with_database_changes_the_database_alone() -> None:
    dsn = parse("postgres://u:p@h/d")

    assert dsn.with_database("e") == parse("postgres://u:p@h/e")


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("hunter2")
    shown = [repr(secret), str(secret), f"{secret:>5}", repr(parse("postgres://u:hunter2@h/d"))]
    shown += [json.dumps([secret], default=mask_secrets)]
    shown += [msgspec.json.encode(parse("postgres://u:hunter2@h/d"), enc_hook=mask_secrets).decode()]

    assert all("***" in text and "hunter2" not in text for text in shown)


def test_a_secret_is_compared_and_revealed_by_its_text() -> None:
    secret = Secret("hunter2")

    assert secret == Secret("hunter2") != Secret("other")
    assert secret.reveal() == "hunter2"
    assert {secret, Secret("hunter2")} == {secret}
    assert copy.copy(secret) is copy.deepcopy(secret) is secret
    assert not Secret("")


def test_a_secret_cannot_be_pickled_or_encoded_by_accident() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("hunter2"))
    with pytest.raises(TypeError):
        mask_secrets(object())


def test_each_host_has_an_address_of_its_own() -> None:
    dsn = parse("postgresql://u:p@a:1,[::1]:2/d")

    assert [host.masked for host in dsn.each_host] == [
        "postgresql://u:***@a:1/d",
        "postgresql://u:***@[::1]:2/d",
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("host=a hostaddr=10.0.0.1", ("a",)),
        ("host=a,,c hostaddr=10.0.0.1,10.0.0.2,10.0.0.3", ("a", "10.0.0.2", "c")),
        ("host=a", ()),
        ("hostaddr=10.0.0.1", ()),
    ],
)
def test_an_address_keeps_the_names_of_its_hosts(text: str, names: tuple[str, ...]) -> None:
    assert parse(text).names == names


def test_as_many_addresses_as_names_are_needed() -> None:
    with pytest.raises(DsnError, match=r"2 addresses \(hostaddr\) but 1 names \(host\)"):
        parse("host=a hostaddr=10.0.0.1,10.0.0.2")
    with pytest.raises(DsnError, match="2 hosts but 3 ports"):
        parse("host=a hostaddr=10.0.0.1,10.0.0.2 port=1,2,3")


def test_a_password_that_is_given_later_is_that_of_every_host() -> None:
    dsn = parse("postgresql://u@a,b/d").with_passwords((Secret("of a"), Secret("of b")))

    assert [host.password for host in dsn.each_host] == [Secret("of a"), Secret("of b")]
    assert [host.password for host in dsn.with_password(Secret("p")).each_host] == [Secret("p")] * 2
