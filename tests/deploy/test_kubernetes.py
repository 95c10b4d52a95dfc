"""The manifests: valid for the newest Kubernetes, restricted, and in step with the code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from pgready.commands.main import pgready
from pgready.commands.termination import DEFAULT
from pgready.core.errors import ExitCode
from pgready.service.web import RESOURCES
from pgready.settings.catalogue import BY_NAME, CATALOGUE

from .manifests import KUBERNETES, OVERLAYS, containers, load, manifests, ours, pods

NEWEST = ("1.35", "1.36", "1.37")
MANIFESTS = dict(manifests())
PODS = dict(pods())
OURS = dict(ours())
PROBES = {"startupProbe": "/startup", "readinessProbe": "/ready", "livenessProbe": "/live"}


@pytest.mark.parametrize("version", NEWEST)
def test_every_object_is_valid_strictly(version: str, tmp_path: Path) -> None:
    document = tmp_path / "all.yaml"
    document.write_text("\n---\n".join(map(json.dumps, MANIFESTS.values())))
    validator = Path(sys.executable).with_name("kubernetes-validate")
    result = subprocess.run(
        [validator, "--strict", "-k", version, document], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert (result.stdout + result.stderr).count("passed for resource") == len(MANIFESTS)


def test_every_file_is_named_by_a_kustomization_once() -> None:
    for directory in (KUBERNETES / "base", *OVERLAYS):
        kustomization = load(directory / "kustomization.yaml")
        named = [name for name in kustomization["resources"] if not name.startswith("..")]
        named += [patch["path"] for patch in kustomization.get("patches", [])]

        assert sorted([*named, "kustomization.yaml"]) == sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_every_pod_keeps_the_restricted_standard(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_no_pod_has_a_token_or_reads_a_secret_from_its_environment(pod: dict[str, Any]) -> None:
    variables = [variable for container in containers(pod) for variable in container.get("env", [])]

    assert pod["automountServiceAccountToken"] is False
    assert [name for name in variables if "secretKeyRef" in name.get("valueFrom", {})] == []


@pytest.mark.parametrize("container", OURS.values(), ids=OURS)
def test_every_command_and_variable_is_one_that_pgready_knows(container: dict[str, Any]) -> None:
    known = {setting.variable for setting in CATALOGUE} | {"POD_NAME"}
    names = {variable["name"].removesuffix("_FILE") for variable in container["env"]}

    assert container["args"][0] in pgready.list_commands(click.Context(pgready))
    assert names <= known


@pytest.mark.parametrize("container", OURS.values(), ids=OURS)
def test_the_reason_of_a_failure_is_written_where_pgready_writes_it(container: dict[str, Any]) -> None:
    assert container["terminationMessagePath"] == str(DEFAULT)


def test_the_sidecar_is_probed_where_pgready_answers() -> None:
    sidecar = OURS["overlays/sidecar/deployment.yaml:pgready"]
    paths = {name: sidecar[name]["httpGet"]["path"] for name in PROBES}
    ports = {sidecar[name]["httpGet"]["port"] for name in PROBES}
    answered = {path for resource in RESOURCES for path in resource.paths}

    assert paths == PROBES
    assert set(paths.values()) <= answered
    assert sidecar["ports"] == [{"name": ports.pop(), "containerPort": int(BY_NAME["port"].default or 0)}]
    assert ports == set()


def test_the_sidecars_metrics_are_scraped_where_pgready_answers() -> None:
    deployment = MANIFESTS["overlays/sidecar/deployment.yaml"]
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]

    assert annotations["prometheus.io/port"] == BY_NAME["port"].default
    assert annotations["prometheus.io/path"] in {path for each in RESOURCES for path in each.paths}


def test_the_job_fails_at_once_for_what_no_retry_cures() -> None:
    rules = MANIFESTS["overlays/job/job.yaml"]["spec"]["podFailurePolicy"]["rules"]
    hopeless = [code.value for code in ExitCode if code and not code.worth_retrying]

    assert [rule["action"] for rule in rules] == ["Ignore", "FailJob"]
    assert rules[1]["onExitCodes"]["values"] == hopeless
    assert rules[1]["onExitCodes"]["containerName"] == "pgready"


def test_the_network_policy_lets_prometheus_in_whom_the_annotations_call() -> None:
    template = MANIFESTS["overlays/sidecar/deployment.yaml"]["spec"]["template"]
    scraped = int(template["metadata"]["annotations"]["prometheus.io/port"])
    rules = MANIFESTS["base/network-policy.yaml"]["spec"]["ingress"]
    (sources,) = [rule["from"] for rule in rules if rule["ports"][0]["port"] == scraped]
    named = [
        source["namespaceSelector"]["matchLabels"] for source in sources if "namespaceSelector" in source
    ]
    ((namespace,),) = [labels.values() for labels in named]

    assert f"`{namespace}`" in (KUBERNETES.parents[1] / "docs" / "kubernetes.md").read_text()


def test_the_network_policy_lets_in_to_the_ports_that_are_listened_on() -> None:
    policy = MANIFESTS["base/network-policy.yaml"]["spec"]
    ports = [rule["ports"][0]["port"] for rule in policy["ingress"]]
    app = MANIFESTS["base/deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]

    assert ports == [app["ports"][0]["containerPort"], int(BY_NAME["port"].default or 0)]
