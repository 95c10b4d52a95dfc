"""The Compose files: in step with the code, and each service of ours without rights that it does not need."""

from __future__ import annotations

from typing import Any

import click
import pytest

from pgready.commands.main import pgready
from pgready.settings import catalogue

from .manifests import COMPOSE_FILES, compose_services, load

SERVICES = dict(compose_services())
KNOWN = {
    *(name for setting in catalogue.CATALOGUE for name in (setting.variable, *setting.also)),
    *("DATABASE_URL", "DB_HOST", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"),
}
HEALTH_CHECKS = {
    f"{path.name}:{name}": service["healthcheck"]
    for path in COMPOSE_FILES
    for name, service in load(path)["services"].items()
    if "healthcheck" in service
}


def arguments(service: dict[str, Any]) -> list[str]:
    """What pgready is given: `run` puts words of a person's behind an entrypoint."""
    words = [*service.get("entrypoint", ["pgready"]), *service.get("command", [])]
    assert words[0] == "pgready"
    return words[1:]


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_command_option_and_variable_is_one_that_pgready_knows(service: dict[str, Any]) -> None:
    context = click.Context(pgready)
    name, *options = arguments(service)
    command = pgready.get_command(context, name)
    taken = {flag for parameter in command.params for flag in parameter.opts} if command else set()

    assert command
    assert set(options) <= taken
    assert {variable.removesuffix("_FILE") for variable in service["environment"]} <= KNOWN


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_service_of_ours_runs_without_rights(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_no_service_of_ours_has_a_password_in_its_environment(service: dict[str, Any]) -> None:
    values = [str(value) for value in service["environment"].values()]

    assert [value for value in values if "only-for-this-example" in value] == []


@pytest.mark.parametrize("check", HEALTH_CHECKS.values(), ids=HEALTH_CHECKS)
def test_every_health_check_is_pgreadys_own(check: dict[str, Any]) -> None:
    assert check["test"] == ["CMD", "pgready", "healthcheck"]


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_every_published_port_of_ours_is_the_one_that_is_listened_on(path: Any) -> None:
    published = [
        port
        for service in (load(path)["services"].get("pgready") or {},)
        for port in service.get("ports", [])
    ]
    port = catalogue.BY_NAME["port"].default

    assert [each for each in published if not each.endswith(f":{port}")] == []


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_every_image_is_a_variable_with_a_default(path: Any) -> None:
    services = [
        container
        for service in load(path)["services"].values()
        for container in (service, *service.get("pre_start", []))
    ]

    assert [each["image"] for each in services if not each["image"].startswith("${")] == []
