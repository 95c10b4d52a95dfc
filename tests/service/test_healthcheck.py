"""The health check as a process, and what it makes of every answer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio.abc
import anyio.to_thread
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pgready.commands import healthcheck
from pgready.commands.wait_url import wait_for_url
from pgready.core.errors import NotReady, SettingsError, Unreachable
from pgready.service import server
from pgready.service.feed import Feed
from pgready.service.web import application
from pgready.settings import load
from service.samples import READY, Serving


async def _check(arguments: list[str], environ: Mapping[str, str] | None = None) -> int:
    return await anyio.to_thread.run_sync(healthcheck.main, arguments, environ or {})


def _answering(status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(b"said\x1b[31m so\nand more", status, headers, "text/plain")


def _unused_port() -> int:
    sockets = server.listen("127.0.0.1", 0)
    port: int = sockets[0].getsockname()[1]
    server.close(sockets)
    return port


async def test_it_is_0_when_ready_and_1_before(feed: Feed, serving: Serving) -> None:
    async with serving(application(feed)) as port:
        before = await _check([], {"PGREADY_PORT": str(port)})
        feed.publish(READY)
        after = await _check([], {"PGREADY_PORT": str(port)})

    assert (before, after) == (1, 0)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "[::]", "*", "127.0.0.1", "localhost"])
async def test_the_address_that_the_daemon_listens_on_means_loopback(
    feed: Feed, serving: Serving, host: str
) -> None:
    feed.publish(READY)
    async with serving(application(feed)) as port:
        code = await _check([], {"PGREADY_HOST": host, "PGREADY_PORT": str(port)})

    assert code == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "HTTP://localhost:{}/ready/?verbose"]
)
@pytest.mark.parametrize("form", [["--url", "{}"], ["--url={}"]])
async def test_a_url_is_asked_as_it_is_given(feed: Feed, serving: Serving, url: str, form: list[str]) -> None:
    feed.publish(READY)
    async with serving(application(feed)) as port:
        code = await _check([part.format(url.format(port)) for part in form])

    assert code == 0


@pytest.mark.parametrize(
    ("status", "expected"), [(200, 0), (204, 0), (301, 1), (307, 1), (404, 1), (500, 1), (503, 1)]
)
async def test_only_success_is_0_and_a_redirect_is_not(serving: Serving, status: int, expected: int) -> None:
    async with serving(_answering(status, {"Location": "/elsewhere"})) as port:
        code = await _check(["--url", f"http://127.0.0.1:{port}"])

    assert code == expected


async def test_it_prints_one_line_without_control_characters(
    serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(_answering(503)) as port:
        await _check(["--url", f"http://127.0.0.1:{port}"])

    assert capsys.readouterr().out == "said?[31m so\n"


async def test_it_prints_what_the_daemon_says_in_any_script(
    serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "0001_prüfen.sql: recorded 9f2c…, found 表\u202e"
    async with serving(Response(said, 503, media_type="text/plain")) as port:
        url = f"http://127.0.0.1:{port}/ready"
        await _check(["--url", url])
        with pytest.raises(NotReady, match=re.escape("0001_prüfen.sql: recorded 9f2c…, found 表?")):
            await wait_for_url(url, 0.1)

    assert capsys.readouterr().out == "0001_prüfen.sql: recorded 9f2c…, found 表?\n"


async def test_ipv6_loopback_is_tried_too(feed: Feed) -> None:
    feed.publish(READY)
    sockets = server.listen("::1", 0)
    async with anyio.create_task_group() as group:
        await group.start(server.serve, application(feed), sockets)
        code = await _check([], {"PGREADY_PORT": str(sockets[0].getsockname()[1])})
        group.cancel_scope.cancel()

    assert code == 0


def test_what_is_empty_between_commas_is_not_asked() -> None:
    hosts, _, _ = healthcheck.target(None, {"PGREADY_HOST": "/run/pgready.sock,"})

    assert hosts == ("/run/pgready.sock",)


async def test_a_unix_socket_is_asked_by_the_same_setting_and_by_url(feed: Feed, tmp_path: Path) -> None:
    path = str(tmp_path / "pgready.sock")
    feed.publish(READY)
    async with anyio.create_task_group() as group:
        await group.start(server.serve, application(feed), server.listen(path, 0))
        codes = [
            await _check(arguments, environ)
            for arguments, environ in (
                ([], {"PGREADY_HOST": path}),
                ([], {"PGREADY_HOST": f"127.0.0.1, {path}", "PGREADY_PORT": str(_unused_port())}),
                (["--url", f"unix:{path}"], {}),
                (["--url", f"unix://{path}"], {}),
            )
        ]
        group.cancel_scope.cancel()

    assert codes == [0, 0, 0, 0]


async def test_a_unix_socket_without_a_daemon_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await _check(["--url", f"unix:{tmp_path}/none.sock"])

    assert (code, capsys.readouterr().out) == (
        1,
        "cannot connect to the socket: No such file or directory\n",
    )


@pytest.mark.parametrize(
    "value", ["tcp://10.0.0.1:8080", "udp://10.0.0.1:53", "sctp://10.0.0.1:80", "tcp://[fd00::1]:8080", ""]
)
def test_a_port_of_kubernetes_is_none_as_it_is_for_serve(value: str) -> None:
    environ = {"PGREADY_PORT": value}
    _, port, _ = healthcheck.target(None, environ)

    assert port == load({}, environ, lambda _: None).port == 8080


@pytest.mark.parametrize("value", ["http://10.0.0.1:8080", "tcp:8080", "x"])
def test_a_port_that_nobody_but_its_user_wrote_is_refused_as_it_is_by_serve(value: str) -> None:
    environ = {"PGREADY_PORT": value}
    with pytest.raises(healthcheck.Misused):
        healthcheck.target(None, environ)
    with pytest.raises(SettingsError):
        load({}, environ, lambda _: None)


async def test_nobody_listening_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    code = await _check([], {"PGREADY_PORT": str(_unused_port())})

    assert (code, "Connection refused" in capsys.readouterr().out) == (1, True)


async def test_a_server_that_never_answers_is_1_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(healthcheck, "TIMEOUT_SECONDS", 0.1)
    sockets = server.listen("127.0.0.1", 0)
    code = await _check([], {"PGREADY_PORT": str(sockets[0].getsockname()[1])})
    server.close(sockets)

    assert (code, "timed out" in capsys.readouterr().out) == (1, True)


async def test_what_is_no_http_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    async def greet(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"SSH-2.0-x\r\n")

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, greet)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        code = await _check([], {"PGREADY_PORT": str(port)})
        group.cancel_scope.cancel()

    assert (code, "does not speak HTTP" in capsys.readouterr().out) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url"],
        ["--url", "https://127.0.0.1/ready"],
        ["--url", "127.0.0.1:8080"],
        ["--url", "http://user:hunter2@127.0.0.1/"],
        ["--url", "http://127.0.0.1:port/"],
        ["--url", "http://127.0.0.1:" + "9" * 5000],
        ["--url", "http://127.0.0.1:1/a b"],
        ["--url", "http://[::1:8080/ready"],
        ["--url", "http://\r\nX: y/"],
        ["--url", "http:///"],
        ["--url", "unix:"],
        ["--url", "unix:relative.sock"],
        ["--url", "unix:/a\0b"],
        ["--url", "unix:/" + "x" * 500],
        ["--nonsense"],
        ["--url", "http://h", "more"],
    ],
)
async def test_what_cannot_be_asked_is_1_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = await _check(arguments)
    printed = capsys.readouterr().out

    assert (code, printed.count("\n")) == (1, 1)
    assert "hunter2" not in printed


async def test_help_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert await _check(["--help"]) == 0
    assert "--url" in capsys.readouterr().out


def test_it_imports_no_more_than_python_itself_and_sockets() -> None:
    code = (
        "import sys; before = set(sys.modules); from pgready.commands import healthcheck;"
        "healthcheck.main(['--url', 'http://127.0.0.1:1'], {}); print(sorted(set(sys.modules) - before))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.splitlines()[-1] == str(
        ["__future__", "_socket", "pgready", "pgready.commands", "pgready.commands.healthcheck"]
    )


async def test_wait_for_url_returns_once_the_daemon_is_ready(feed: Feed, serving: Serving) -> None:
    said: list[str] = []

    async def wait(port: int) -> None:
        said.append(await wait_for_url(f"http://127.0.0.1:{port}/ready", 30))

    async with serving(_ReadyAtSecondRequest(feed)) as port:
        await wait(port)

    assert len(said) == 1


class _ReadyAtSecondRequest:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._app = application(feed)
        self._asked = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._asked:
            self._feed.publish(READY)
        self._asked = True
        await self._app(scope, receive, send)


async def test_wait_for_url_asks_a_unix_socket_too(feed: Feed, tmp_path: Path) -> None:
    feed.publish(READY)
    sockets = server.listen(str(tmp_path / "pgready.sock"), 0)
    async with anyio.create_task_group() as group:
        await group.start(server.serve, application(feed), sockets)
        said = await wait_for_url(server.url(sockets[0]), 30)
        group.cancel_scope.cancel()

    assert said.startswith("ready")


async def test_wait_for_url_of_a_daemon_that_stays_unready_is_exit_7(feed: Feed, serving: Serving) -> None:
    async with serving(application(feed)) as port:
        with pytest.raises(NotReady):
            await wait_for_url(f"http://127.0.0.1:{port}/ready", 0.3)


async def test_wait_for_url_where_nobody_answers_is_exit_3() -> None:
    with pytest.raises(Unreachable):
        await wait_for_url(f"http://127.0.0.1:{_unused_port()}/ready", 0.2)


async def test_wait_for_url_refuses_what_it_cannot_ask_at_once() -> None:
    with pytest.raises(SettingsError):
        await wait_for_url("ftp://127.0.0.1/ready", 30)
