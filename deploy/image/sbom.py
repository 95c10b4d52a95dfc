"""Write the software bill of materials (CycloneDX 1.6, JSON) of pgready and what it is installed with.

    python3 deploy/image/sbom.py REPORT… [--installed DIR]… [--status DIR] >sbom.cdx.json

A REPORT is what `pip install --report` wrote: it names what was really installed, with the hash that pip
checked against the lock. --installed is a `site-packages` to look licences up in, which older versions of
pip do not report; --status adds Debian's packages and the interpreter. No timestamp of the build, so
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
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a CycloneDX bill of materials.")
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT", help="of pip install --report")
    parser.add_argument("--installed", action="append", default=[], help="a site-packages, for licences")
    parser.add_argument("--status", type=Path, help="a directory with one dpkg status a file")
    arguments = parser.parse_args()
    installed = [item for report in arguments.reports for item in json.loads(report.read_text())["install"]]
    found = licences(arguments.installed)
    components = [from_pip(item, found) for item in installed]
    if arguments.status:
        components += [*map(from_dpkg, sorted(arguments.status.iterdir())), interpreter()]
    json.dump(document(components), sys.stdout, indent=1)
    sys.stdout.write("\n")


def licences(installed: list[str]) -> dict[str, str]:
    """The licence of every package in these directories: an SPDX expression, or the package's own words."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions(path=installed):
        about = distribution.metadata
        classified = [text for text in about.get_all("Classifier") or () if text.startswith("License ::")]
        short = [text.rpartition(" :: ")[2] for text in classified]
        said = about.get_all("License-Expression") or about.get_all("License") or short
        found[normal(about["Name"])] = said[0] if said else ""
    return found


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def from_pip(item: dict[str, Any], found: dict[str, str]) -> Component:
    """One item of pip's report. Where it came from is left out: that is the builder's own index."""
    told = item["metadata"]
    name, version = normal(told["name"]), told["version"]
    hashes = item["download_info"].get("archive_info", {}).get("hashes", {})
    return {
        **component("library", name, version, f"pkg:pypi/{name}@{version}"),
        **licence(found.get(name) or told.get("license_expression") or told.get("license")),
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
    """A licence by its name, where it is a name and not a whole text."""
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
