"""Write the software bill of materials (CycloneDX 1.6, JSON) of pgready and what it is installed with.

    python3 deploy/image/sbom.py REPORT… [--status /rootfs/var/lib/dpkg/status.d] >sbom.cdx.json

A REPORT is what `pip install --report` wrote: it names what was really installed, with the hash that pip
checked against the lock. --status adds Debian's packages and the interpreter. No timestamp of the build, so
that the same input gives the same bytes; SOURCE_DATE_EPOCH sets one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a CycloneDX bill of materials.")
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT", help="of pip install --report")
    parser.add_argument("--status", type=Path, help="a directory with one dpkg status a file")
    arguments = parser.parse_args()
    installed = [item for report in arguments.reports for item in json.loads(report.read_text())["install"]]
    components = [from_pip(item) for item in installed]
    if arguments.status:
        components += [*map(from_dpkg, sorted(arguments.status.iterdir())), interpreter()]
    json.dump(document(components), sys.stdout, indent=1)
    sys.stdout.write("\n")


def from_pip(item: dict[str, Any]) -> Component:
    """One item of pip's report. Where it came from is left out: that is the builder's own index."""
    metadata = item["metadata"]
    name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
    hashes = item["download_info"].get("archive_info", {}).get("hashes", {})
    return {
        **component("library", name, metadata["version"], f"pkg:pypi/{name}@{metadata['version']}"),
        **licence(metadata.get("license_expression") or metadata.get("license")),
        **({"hashes": [{"alg": "SHA-256", "content": hashes["sha256"]}]} if "sha256" in hashes else {}),
    }


def from_dpkg(status: Path) -> Component:
    fields = dict(
        line.split(": ", 1) for line in status.read_text().splitlines() if re.match(r"[A-Z]\S*: ", line)
    )
    name, version = fields["Package"], fields["Version"]
    purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={fields['Architecture']}"
    return component("library", name, version, purl)


def interpreter() -> Component:
    version = platform.python_version()
    return component("platform", "python", version, f"pkg:generic/python@{version}")


def component(kind: str, name: str, version: str, purl: str) -> Component:
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def licence(text: str | None) -> Component:
    """An SPDX expression, or whatever short name the package has instead of one."""
    if not text or "\n" in text:
        return {}
    return {"licenses": [{"license": {"name": text}}]}


def document(components: list[Component]) -> dict[str, Any]:
    """The bill; the component called pgready is what it is about."""
    subject = next(part for part in components if part["name"] == "pgready")
    parts = sorted((part for part in components if part is not subject), key=lambda part: part["bom-ref"])
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([subject, parts], sort_keys=True))
    moment = os.environ.get("SOURCE_DATE_EPOCH")
    made = {"timestamp": datetime.fromtimestamp(int(moment), UTC).isoformat()} if moment else {}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {**made, "component": {**subject, "type": "application"}},
        "components": parts,
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }


if __name__ == "__main__":
    main()
