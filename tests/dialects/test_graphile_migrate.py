"""graphile-migrate's chain of hashes and its placeholders."""

from __future__ import annotations

import hashlib

import pytest

from pgready.core.compile import compile_script
from pgready.core.errors import ScriptError, SettingsError
from pgready.core.model import Folder, SourceFile
from pgready.dialects.base import Surroundings
from pgready.dialects.graphile_migrate import GraphileMigrate


def committed(body: str, written: str | None = None) -> bytes:
    """The first file of a chain; *written* is its text where that is not what was hashed."""
    digest = hashlib.sha1(f"{body}\n".encode()).hexdigest()
    return f"--! Previous: -\n--! Hash: sha1:{digest}\n\n{written or body}\n".encode()


def folder_of(data: bytes, **environ: str) -> tuple[GraphileMigrate, Folder]:
    graphile = GraphileMigrate.made(Surroundings(environ=environ, user="owner", database="shop"))
    return graphile, graphile.read([SourceFile("committed/000001-a.sql", data)])


def test_placeholders_have_the_environments_values() -> None:
    body = "SELECT ':ROLE', ':DATABASE_NAME', ':DATABASE_OWNER', 'a'::TEXT, '10:MI';"

    _, folder = folder_of(committed(body), ROLE="visitor")

    assert folder.migrations[0].script.text == "SELECT 'visitor', 'shop', 'owner', 'a'::TEXT, '10:MI';\n"


def test_a_placeholder_without_a_value_is_refused_with_its_place_when_it_would_run() -> None:
    _, folder = folder_of(committed("SELECT 1;\nGRANT :ROLE TO x;"))

    with pytest.raises(ScriptError) as refused:
        compile_script(folder.migrations[0].script)

    assert str(refused.value.place) == "committed/000001-a.sql:5:7"


def test_a_placeholder_without_a_value_is_left_alone_in_a_comment() -> None:
    _, folder = folder_of(committed("-- as :GONE\nGRANT :ROLE TO x; /* :GONE :ROLE */"), ROLE="visitor")

    assert folder.migrations[0].script.text == "-- as :GONE\nGRANT visitor TO x; /* :GONE visitor */\n"
    assert compile_script(folder.migrations[0].script)


@pytest.mark.parametrize("behind", ["SELECT 'open", f"/* {'x' * (1 << 20)} */"], ids=["no SQL", "long"])
def test_a_placeholder_in_what_cannot_be_read_needs_a_value(behind: str) -> None:
    _, folder = folder_of(committed(f"-- as :GONE\n{behind}"))

    with pytest.raises(ScriptError, match=":GONE"):
        compile_script(folder.migrations[0].script)


def test_what_committed_files_included_is_not_taken_for_work() -> None:
    files = [
        SourceFile(path, b"SELECT 1;") for path in ("afterReset.sql", "current.sql", "fixtures/a/one.sql")
    ]

    folder = GraphileMigrate.made(Surroundings()).read(
        [SourceFile("committed/000001-a.sql", committed("SELECT 1;")), *files]
    )

    assert folder.skipped == ("afterReset.sql", "current.sql")
    assert folder.ignored == ("fixtures/a/one.sql",)


def test_a_text_that_is_not_what_was_hashed_is_refused_when_it_would_run() -> None:
    _, folder = folder_of(committed("SELECT 1;", written="SELECT 2;"))

    with pytest.raises(ScriptError, match="it was changed"):
        compile_script(folder.migrations[0].script)


def test_a_changed_file_cannot_be_accepted() -> None:
    graphile, folder = folder_of(committed("SELECT 1;", written="SELECT 2;"))

    with pytest.raises(SettingsError):
        graphile.accept(folder.migrations[0], None)


def test_an_include_is_refused_when_it_would_run() -> None:
    _, folder = folder_of(committed("SELECT 1;\n--! include x.sql"))

    with pytest.raises(ScriptError, match="include"):
        compile_script(folder.migrations[0].script)
