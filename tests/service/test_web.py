"""The rules of the HTTP interface, asked of the application itself."""

from __future__ import annotations

import re

import anyio
import httpx
import pytest
from msgspec.structs import replace

from pgready.core import events
from pgready.core.phases import Phase
from pgready.core.planning import Flag, Plan, State
from pgready.service import web
from pgready.service.feed import Feed
from service.samples import FAILED, PLANNED, READY, entered, entry

PATHS = [
    path
    for resource in web.RESOURCES
    for path in resource.paths
    if "{" not in path
    and resource.method == "GET"
    and path != "/events"  # which does not end by itself: see test_stream
] + ["/migrations/0001"]


@pytest.mark.parametrize("path", ["/live", "/livez", "/healthz"])
@pytest.mark.parametrize("event", [entered("connecting"), FAILED, READY, entered("draining")])
async def test_live_is_200_whatever_the_run_does(
    client: httpx.AsyncClient, feed: Feed, path: str, event: object
) -> None:
    feed.publish(event)  # type: ignore[arg-type]

    assert (await client.get(path)).status_code == 200


async def test_live_never_reads_the_status(client: httpx.AsyncClient, feed: Feed) -> None:
    del feed._status

    assert (await client.get("/live")).json() == {"live": True}


@pytest.mark.parametrize("path", ["/ready", "/readyz", "/startup", "/startupz"])
async def test_before_the_target_is_ready_the_answer_is_503_with_retry_after(
    client: httpx.AsyncClient, feed: Feed, path: str
) -> None:
    feed.publish(entered("migrating"))

    response = await client.get(path)

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("path", ["/ready", "/readyz", "/startup", "/startupz"])
async def test_a_ready_target_is_200(client: httpx.AsyncClient, feed: Feed, path: str) -> None:
    feed.publish(READY)

    assert (await client.get(path)).status_code == 200


async def test_ready_says_phase_reason_and_counts_but_lists_no_migration(
    client: httpx.AsyncClient, feed: Feed
) -> None:
    feed.publish(PLANNED)
    feed.publish(FAILED)

    body = (await client.get("/ready")).json()

    assert (body["schema"], body["ready"], body["phase"]) == (1, False, "failed")
    assert "a secret-free reason" in body["reason"]
    assert body["counts"]["pending"] == 1
    assert "migrations" not in body


async def test_startup_stays_200_when_readiness_is_lost(client: httpx.AsyncClient, feed: Feed) -> None:
    feed.publish(READY)
    feed.publish(FAILED)

    assert (await client.get("/startup")).status_code == 200
    assert (await client.get("/ready")).status_code == 503


async def test_ready_as_text_is_one_line(client: httpx.AsyncClient, feed: Feed) -> None:
    response = await client.get("/ready", headers={"Accept": "text/plain"})

    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text.count("\n") == 1


async def test_a_body_is_rendered_once_until_the_next_event(client: httpx.AsyncClient, feed: Feed) -> None:
    representations = client._transport.app.state.representations  # type: ignore[attr-defined]

    first = representations.readiness("application/json")
    again = representations.readiness("application/json")
    feed.publish(entered("planning"))

    assert again is first
    assert representations.readiness("application/json") != first


@pytest.mark.parametrize("path", PATHS)
async def test_a_trailing_slash_changes_nothing(client: httpx.AsyncClient, feed: Feed, path: str) -> None:
    feed.publish(PLANNED)

    plain, slashed = await client.get(path), await client.get(f"{path}/")

    assert (slashed.status_code, lasting(slashed)) == (plain.status_code, lasting(plain))
    assert plain.status_code in (200, 503)


def lasting(response: httpx.Response) -> str:
    """The body without the figures of this process, which grow while it answers."""
    return re.sub(r"^process_.*\n", "", response.text, flags=re.MULTILINE)


@pytest.mark.parametrize("path", [*PATHS, "/", "/nothing"])
@pytest.mark.parametrize("suffix", ["", "/", "//"])
async def test_nothing_is_ever_a_redirect(client: httpx.AsyncClient, path: str, suffix: str) -> None:
    assert not (await client.get(path + suffix)).is_redirect


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_another_method_is_405_with_allow(client: httpx.AsyncClient, path: str, method: str) -> None:
    response = await client.request(method, path)

    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    assert response.headers["content-type"] == "application/problem+json"


async def test_an_unknown_path_is_a_problem_that_lists_the_paths(client: httpx.AsyncClient) -> None:
    response = await client.get("/nothing<script>")

    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert response.json()["valid"] == [
        resource.shown[0] for resource in web.RESOURCES if resource.method == "GET"
    ]
    assert "script" not in response.text


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/migrations?state=x", "/migrations/none"])
async def test_every_answer_carries_the_fixed_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers

    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "Accept"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_defect_is_a_problem_with_the_fixed_headers(feed: Feed) -> None:
    app = web.application(feed)
    del app.state.representations
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
        response = await client.get("/ready")

    assert (response.status_code, response.headers["cache-control"]) == (500, "no-store")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/plain", "text/plain"),
        ("text/*", "text/plain"),
        ("text/plain;q=0.5, application/json", "application/json"),
        ("text/plain, application/json;q=0.5", "text/plain"),
        ("text/plain;q=0, */*", "application/json"),
        ("image/png", "application/json"),
        ("application/json;q=zzz, text/plain;q=0.1", "text/plain"),
    ],
)
async def test_migrations_are_json_unless_something_else_is_preferred(
    client: httpx.AsyncClient, accept: str, expected: str
) -> None:
    response = await client.get("/migrations", headers={"Accept": accept})

    assert response.headers["content-type"].partition(";")[0] == expected


@pytest.mark.parametrize(
    ("query", "versions"),
    [
        ("", ["0001", "0002"]),
        ("?state=pending", ["0002"]),
        ("?state=applied", ["0001"]),
        ("?state=applied&state=pending", ["0001", "0002"]),
        ("?state=Partly-Applied", []),
    ],
)
async def test_migrations_are_filtered_by_state(
    client: httpx.AsyncClient, feed: Feed, query: str, versions: list[str]
) -> None:
    feed.publish(PLANNED)

    body = (await client.get(f"/migrations{query}")).json()

    assert [migration["version"] for migration in body["migrations"]] == versions


async def test_an_unknown_state_is_400_that_lists_the_states_and_not_the_input(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/migrations", params={"state": "<b>bad"})

    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    assert response.json()["valid"] == ["applied", "pending", "partly applied", "failed"]
    assert "bad" not in response.json()["detail"]


async def test_one_migration_has_a_path_of_its_own(client: httpx.AsyncClient, feed: Feed) -> None:
    feed.publish(PLANNED)

    body = (await client.get("/migrations/0002")).json()

    assert (body["schema"], body["version"], body["state"]) == (1, "0002", "pending")


async def test_one_migration_as_text_is_its_row_alone(client: httpx.AsyncClient, feed: Feed) -> None:
    feed.publish(PLANNED)

    text = (await client.get("/migrations/0002", headers={"Accept": "text/plain"})).text

    assert "0002" in text
    assert "0001" not in text


async def test_an_unknown_version_is_404_and_is_not_repeated(client: httpx.AsyncClient) -> None:
    response = await client.get("/migrations/0000unknown")

    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert "0000unknown" not in response.text


async def test_verbose_tells_the_stages_in_the_api_servers_line_format(
    client: httpx.AsyncClient, feed: Feed
) -> None:
    feed.publish(entered("planning"))
    feed.publish(FAILED)

    response = await client.get("/ready?verbose")

    assert response.status_code == 503
    assert response.text.splitlines() == [
        "[+]connect ok",
        "[+]lock ok",
        "[+]bootstrap ok",
        "[-]plan failed: a secret-free reason",
        "[-]migrations failed: not reached",
        "[-]checks failed: not reached",
        "[+]shutdown ok",
        "[+]database excluded: ok",
        "[+]ahead excluded: ok",
        "readyz check failed",
    ]


async def test_verbose_of_a_ready_target_passes(client: httpx.AsyncClient, feed: Feed) -> None:
    feed.publish(READY)

    response = await client.get("/ready?verbose")

    assert response.status_code == 200
    assert response.text.splitlines()[-1] == "readyz check passed"
    assert "[-]" not in response.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200), ("?verbose", 200), ("?include=ahead", 200), ("?include=database", 503),
        ("?include=database&exclude=database", 200), ("?include=ahead&include=database&verbose", 503),
    ],
)  # fmt: skip
async def test_a_lost_database_fails_readiness_only_where_it_is_asked_for(
    client: httpx.AsyncClient, feed: Feed, query: str, status: int
) -> None:
    feed.publish(READY)
    feed.publish(events.DatabaseLost("refused"))

    response = await client.get(f"/ready{query}")

    assert response.status_code == status
    if status == 503:
        assert "[-]database failed: cannot be reached since 2026-05-04T12:00:00Z\n" in response.text


async def test_a_database_that_is_ahead_fails_readiness_where_it_is_asked_for(
    client: httpx.AsyncClient, feed: Feed
) -> None:
    ahead = replace(entry("0003", State.APPLIED), migration=None, flags=(Flag.AHEAD,))
    feed.publish(events.Planned(plan=Plan(entries=(ahead,)), under_lock=False))
    feed.publish(READY)

    plain, asked = await client.get("/ready"), await client.get("/ready?include=ahead")

    assert (plain.status_code, asked.status_code) == (200, 503)
    assert "[-]ahead failed: 1 newer than the folder" in asked.text


async def test_only_what_is_optional_can_be_included(client: httpx.AsyncClient) -> None:
    response = await client.get("/ready?include=plan")

    assert (response.status_code, response.json()["valid"]) == (400, ["database", "ahead"])


async def test_an_excluded_check_does_not_count(client: httpx.AsyncClient, feed: Feed) -> None:
    feed.publish(entered("checking"))

    refused = await client.get("/ready?exclude=plan")
    passed = await client.get("/ready?exclude=checks")

    assert (refused.status_code, passed.status_code, passed.text) == (503, 200, "ok\n")


async def test_an_unknown_excluded_check_is_400(client: httpx.AsyncClient) -> None:
    response = await client.get("/ready?exclude=nonsense")

    assert response.status_code == 400
    assert "checks" in response.json()["valid"]
    assert "nonsense" not in response.text


async def test_a_draining_daemon_is_not_ready_because_of_shutdown_alone(
    client: httpx.AsyncClient, feed: Feed
) -> None:
    feed.publish(READY)
    feed.publish(entered(Phase.DRAINING.value))

    lines = (await client.get("/ready?verbose")).text.splitlines()

    assert [line for line in lines if line.startswith("[-]")] == ["[-]shutdown failed: draining"]


async def _poll(client: httpx.AsyncClient, answers: list[int]) -> None:
    answers.append((await client.get("/ready?wait=30s")).status_code)


@pytest.mark.parametrize(("event", "status"), [(READY, 200), (entered("draining"), 503)])
async def test_a_long_poll_answers_as_soon_as_ready_or_draining(
    client: httpx.AsyncClient, feed: Feed, event: object, status: int
) -> None:
    answers: list[int] = []

    async with anyio.create_task_group() as group:
        group.start_soon(_poll, client, answers)
        await anyio.wait_all_tasks_blocked()
        feed.publish(entered("migrating"))
        await anyio.wait_all_tasks_blocked()
        still_waiting = not answers
        feed.publish(event)  # type: ignore[arg-type]

    assert still_waiting
    assert answers == [status]


async def test_a_long_poll_whose_patience_ends_is_503(client: httpx.AsyncClient) -> None:
    assert (await client.get("/ready?wait=1ms")).status_code == 503


@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "", "1;2", "٣"])
async def test_a_wait_that_is_no_duration_is_400(client: httpx.AsyncClient, text: str) -> None:
    assert (await client.get("/ready", params={"wait": text})).status_code == 400


async def test_a_long_poll_past_the_limit_is_answered_at_once(client: httpx.AsyncClient, feed: Feed) -> None:
    limiter: anyio.CapacityLimiter = client._transport.app.state.waiters  # type: ignore[attr-defined]
    limiter.total_tokens = 1
    answers: list[int] = []

    async with anyio.create_task_group() as group:
        group.start_soon(_poll, client, answers)
        await anyio.wait_all_tasks_blocked()
        second = await client.get("/ready?wait=30s")
        feed.publish(READY)

    assert (second.status_code, answers) == (503, [200])


def test_a_wait_is_bounded() -> None:
    from pgready.service.negotiation import seconds

    assert seconds("1h", web.LONGEST_WAIT_SECONDS) == 60.0
