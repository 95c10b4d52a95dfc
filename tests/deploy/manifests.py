"""The files of deploy/, compose/ and the Dockerfile, as values for tests to compare with the code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

CHECKOUT = Path(__file__).parents[2]
KUBERNETES = CHECKOUT / "deploy" / "kubernetes"
COMPOSE_FILES = sorted((CHECKOUT / "compose").glob("*.yaml"))
OVERLAYS = sorted(path.parent for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))

Document = dict[str, Any]


def load(path: Path) -> Document:
    """The only document of a YAML file."""
    document: Document = yaml.safe_load(path.read_text())
    return document


def manifests() -> Iterator[tuple[str, Document]]:
    """Every whole object of base and overlays, by its path; patches are parts of one and come merged."""
    for path in sorted(KUBERNETES.glob("**/*.yaml")):
        name = str(path.relative_to(KUBERNETES))
        if path.name == "kustomization.yaml":
            continue
        document = load(path)
        if path.parent.name != "base" and document["kind"] == "Deployment":
            document = merged(load(KUBERNETES / "base" / path.name), document)
        yield name, document


def merged(base: Any, patch: Any) -> Any:
    """*base* with *patch* over it, as far as Kustomize's strategic merge is needed here: the lists of the
    patches hold new items only."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return {key: merged(base.get(key), patch.get(key)) for key in {**base, **patch}}
    if isinstance(base, list) and isinstance(patch, list):
        return [*base, *patch]
    return base if patch is None else patch


def pods() -> Iterator[tuple[str, Document]]:
    """The pod specification of each object that makes pods."""
    for name, document in manifests():
        if document["kind"] in ("Deployment", "Job"):
            yield name, document["spec"]["template"]["spec"]


def containers(pod: Document) -> list[Document]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def ours() -> Iterator[tuple[str, Document]]:
    """The containers in which pgready runs."""
    for name, pod in pods():
        for container in containers(pod):
            if container["image"] == "notes-migrations":
                yield f"{name}:{container['name']}", container


def compose_services() -> Iterator[tuple[str, Document]]:
    """The Compose services in which pgready runs, init containers of other services among them."""
    for path in COMPOSE_FILES:
        for name, service in load(path)["services"].items():
            for container in (service, *service.get("pre_start", [])):
                if container["image"].startswith("${PGREADY_IMAGE"):
                    yield f"{path.name}:{name}", container
