"""`POST /retry`: who may ask for another try, and what everybody else is told."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest

from pgready.core.errors import ExitCode, SettingsError
from pgready.service.feed import Feed
from pgready.service.retry import Retrying, read_token
from pgready.service.web import application
from service.samples import entered

TOKEN = "3f1c0a77d2b94e5b"


class Calls:
    """How often another try was asked for."""

    def __init__(self) -> None:
        self.number = 0

    def request_retry(self) -> None:
        self.number += 1


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
async def client(
    anyio_backend: str, feed: Feed, calls: Calls, token_file: Path
) -> AsyncIterator[httpx.AsyncClient]:
    app = application(feed, retrying=Retrying(str(token_file), calls.request_retry))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://daemon") as client:
        yield client


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", ["/retry", "/retry/"])
async def test_the_token_gets_202_and_one_retry(client: httpx.AsyncClient, calls: Calls, path: str) -> None:
    response = await client.post(path, headers=bearing(TOKEN))

    assert (response.status_code, calls.number) == (202, 1)
    assert response.json() == {"accepted": True}


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Authorization": ""}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"}, {"Authorization": f"Bearer {TOKEN} {TOKEN}"},
        {"Authorization": "Bearer \u00e9"}, {"X-Token": TOKEN}, {"Cookie": f"token={TOKEN}"},
    ],
)  # fmt: skip
async def test_without_a_bearer_token_it_is_401_and_nothing_happens(
    client: httpx.AsyncClient, calls: Calls, headers: dict[str, str]
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    response = await client.post("/retry", headers=raw)

    assert (response.status_code, calls.number) == (401, 0)
    assert response.headers["www-authenticate"] == 'Bearer realm="pgready"'


@pytest.mark.parametrize("wrong", [TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "x" * 16, "x"])
async def test_another_token_is_401_and_is_not_repeated(
    client: httpx.AsyncClient, calls: Calls, wrong: str
) -> None:
    response = await client.post("/retry", headers=bearing(wrong))

    assert (response.status_code, calls.number) == (401, 0)
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert TOKEN not in str(response.headers) + response.text
    assert wrong == "x" or wrong not in str(response.headers) + response.text


async def test_the_token_is_compared_in_constant_time(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, token: bytes) -> bool:
        compared.append((given, token))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)

    await client.post("/retry", headers=bearing("x" * 16))

    assert compared == [(b"x" * 16, TOKEN.encode())]


async def test_the_query_is_no_place_for_a_token(client: httpx.AsyncClient, calls: Calls) -> None:
    response = await client.post("/retry", params={"access_token": TOKEN})

    assert (response.status_code, calls.number) == (401, 0)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_405_even_with_the_token(
    client: httpx.AsyncClient, calls: Calls, method: str
) -> None:
    response = await client.request(method, "/retry", headers=bearing(TOKEN))

    assert (response.status_code, response.headers["allow"], calls.number) == (405, "POST", 0)


async def test_without_a_configured_token_there_is_no_such_path(feed: Feed) -> None:
    transport = httpx.ASGITransport(application(feed))
    async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
        response = await client.post("/retry", headers=bearing(TOKEN))

    assert response.status_code == 404
    assert "/retry" not in response.json()["valid"]


async def test_a_rotated_token_takes_the_place_of_the_old_one(
    client: httpx.AsyncClient, token_file: Path
) -> None:
    await anyio.Path(token_file).write_text("another-token-of-some-length")

    old = await client.post("/retry", headers=bearing(TOKEN))
    new = await client.post("/retry", headers=bearing("another-token-of-some-length"))

    assert (old.status_code, new.status_code) == (401, 202)


async def test_a_token_whose_file_has_gone_opens_nothing(
    client: httpx.AsyncClient, token_file: Path, calls: Calls
) -> None:
    await anyio.Path(token_file).unlink()

    response = await client.post("/retry", headers=bearing(TOKEN))

    assert (response.status_code, calls.number) == (503, 0)
    assert str(token_file) not in response.text


async def test_a_daemon_that_stops_does_not_try_again(
    client: httpx.AsyncClient, feed: Feed, calls: Calls
) -> None:
    feed.publish(entered("draining"))

    response = await client.post("/retry", headers=bearing(TOKEN))

    assert (response.status_code, calls.number) == (503, 0)


@pytest.mark.parametrize(
    "content",
    ["", "short", "two tokens of length", "line of sixteen\nand another one", "\u00e9" * 20, "=" * 16],
)
def test_a_file_without_a_usable_token_is_exit_2_and_does_not_show_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "hunter2"
    path.write_text(content)
    with pytest.raises(SettingsError) as refused:
        read_token(str(path))

    assert refused.value.exit_code is ExitCode.USAGE
    assert "PGREADY_TOKEN_FILE" in refused.value.what
    assert not content or content not in f"{refused.value.what} {refused.value.hint}"
    assert "hunter2" not in refused.value.what


@pytest.mark.parametrize("path", ["/nowhere/hunter2", "hunter2\0", "/"])
def test_a_file_that_cannot_be_read_is_exit_2_and_is_not_named(path: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_token(path)

    assert "hunter2" not in refused.value.what
