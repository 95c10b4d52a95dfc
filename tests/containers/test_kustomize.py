"""The overlays as Kustomize itself builds them: what a cluster would get."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.manifests import CHECKOUT, OVERLAYS, manifests
from deploy.test_kubernetes import NEWEST

pytestmark = pytest.mark.containers

KUSTOMIZE = CHECKOUT / ".cache" / "bin" / "kustomize"


def build(overlay: Path) -> str:
    """The overlay's objects as YAML; fails where make has not built Kustomize."""
    return subprocess.run([KUSTOMIZE, "build", overlay], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("version", NEWEST)
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_every_overlay_builds_objects_that_are_valid_strictly(
    overlay: Path, version: str, tmp_path: Path
) -> None:
    built = tmp_path / "built.yaml"
    built.write_text(build(overlay))
    validator = Path(sys.executable).with_name("kubernetes-validate")
    command: list[str | Path] = [validator, "--strict", "-k", version, built]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_every_image_of_an_overlay_is_replaced_by_ones_own(overlay: Path) -> None:
    pods = [
        document["spec"]["template"]["spec"]
        for document in objects(overlay)
        if "template" in document.get("spec", {})
    ]
    images = {each["image"] for pod in pods for each in [*pod.get("initContainers", []), *pod["containers"]]}

    assert images == {"registry.example/notes-app:1", "registry.example/notes-migrations:1"}


def objects(overlay: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(build(overlay)))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_patches_are_merged_as_the_other_tests_merge_them(overlay: Path) -> None:
    (deployment,) = (document for document in objects(overlay) if document["kind"] == "Deployment")
    expected = dict(manifests())[f"overlays/{overlay.name}/deployment.yaml"]
    for pod in (deployment["spec"]["template"]["spec"], expected["spec"]["template"]["spec"]):
        pod["volumes"].sort(key=lambda volume: volume["name"])
        for container in [*pod["initContainers"], *pod["containers"]]:
            del container["image"]

    assert deployment == expected
