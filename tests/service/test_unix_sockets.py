"""A Unix socket to listen on: alone or beside addresses, and whose file it is."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import anyio
import httpx
import pytest

from pgready.core.errors import ExitCode, SettingsError
from pgready.service import server
from pgready.service.feed import Feed
from pgready.service.web import application


@pytest.mark.parametrize("hosts", ["{},", ",{}", " , {} ,"])
def test_what_is_empty_between_commas_is_not_every_address(hosts: str, tmp_path: Path) -> None:
    path = str(tmp_path / "pgready.sock")
    sockets = server.listen(hosts.format(path), 0)
    names = [server.url(each) for each in sockets]
    server.close(sockets)

    assert names == [f"unix:{path}"]


@pytest.mark.parametrize("hosts", [",", " , "])
def test_commas_alone_name_no_address(hosts: str) -> None:
    with pytest.raises(SettingsError, match=r"--host \(PGREADY_HOST\) names no address"):
        server.listen(hosts, 0)


async def test_a_socket_and_an_address_answer_the_same(feed: Feed, tmp_path: Path) -> None:
    path = str(tmp_path / "pgready.sock")
    sockets = server.listen(f"{path}, 127.0.0.1", 0)
    async with anyio.create_task_group() as group:
        await group.start(server.serve, application(feed), sockets)
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=path)) as client:
            by_socket = await client.get("http://localhost/ready")
        async with httpx.AsyncClient() as client:
            by_address = await client.get(f"{server.url(sockets[0])}/ready")
        group.cancel_scope.cancel()

    assert (by_socket.status_code, by_socket.text) == (503, by_address.text)


def test_the_file_is_open_to_all_who_may_enter_its_directory_and_goes_with_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "pgready.sock"
    sockets = server.listen(str(path), 0)
    mode = stat.S_IMODE(path.stat().st_mode)
    server.close(sockets)

    assert mode == 0o666
    assert not path.exists()


def test_the_socket_of_a_killed_daemon_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "pgready.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    sockets = server.listen(str(path), 0)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    server.close(sockets)


def test_the_socket_of_a_living_daemon_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "pgready.sock")
    sockets = server.listen(path, 0)
    with pytest.raises(SettingsError) as refused:
        server.listen(path, 0)

    assert refused.value.exit_code is ExitCode.USAGE
    assert "Address already in use" in refused.value.what
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    server.close(sockets)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine")
    with pytest.raises(SettingsError):
        server.listen(str(path), 0)

    assert path.read_text() == "mine"


def test_the_file_of_who_came_after_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pgready.sock"
    sockets = server.listen(str(path), 0)
    path.rename(tmp_path / "moved")
    path.write_text("another's")
    server.close(sockets)

    assert path.read_text() == "another's"


@pytest.mark.parametrize("path", ["/nowhere/pgready.sock", "/tmp/" + "x" * 200, "/a\0b"])
def test_a_path_that_cannot_be_is_exit_2_and_names_the_setting(path: str) -> None:
    with pytest.raises(SettingsError) as refused:
        server.listen(path, 0)

    assert "PGREADY_HOST" in f"{refused.value.what}{refused.value.hint}"


def test_of_several_hosts_one_that_fails_leaves_none_listening(tmp_path: Path) -> None:
    path = tmp_path / "pgready.sock"
    with pytest.raises(SettingsError):
        server.listen(f"{path},{tmp_path}/nowhere/x.sock", 0)

    assert not path.exists()
