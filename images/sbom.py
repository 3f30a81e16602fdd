"""Lists what an image contains, in the image itself: /opt/lta/sbom.json (CycloneDX) and /opt/lta/licences.txt.

python sbom.py NAME, run by the image's interpreter while the image is built. Python distributions are those that this
interpreter finds, system packages those that dpkg has installed.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_DPKG, _COPYRIGHTS = Path("/var/lib/dpkg/status"), Path("/usr/share/doc")
_LICENCE_WORDS = 80  # characters; some projects give the whole text where its name belongs


def main() -> None:
    name, target = sys.argv[1], Path(sys.prefix)
    components = sorted([*_python(), *_debian()], key=lambda one: one["purl"])
    listed = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": f"learntoask/{name}"}},
        "components": components,
    }
    (target / "sbom.json").write_text(json.dumps(listed, indent=1, ensure_ascii=False))
    lines = (f"{one['name']} {one['version']}: {_shown(one)}\n" for one in components)
    (target / "licences.txt").write_text("".join(lines))


def _python() -> list[Json]:
    found = {one.metadata["Name"].lower(): one for one in distributions()}
    return [
        _component(f"pkg:pypi/{name}@{one.version}", name, one.version, _licences(one))
        for name, one in found.items()
    ]


def _licences(one: Distribution) -> list[str]:
    """An SPDX expression where the project gives one, else its classifiers, else the words it uses."""
    metadata = one.metadata
    if expression := metadata.get("License-Expression"):
        return [expression]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License ::")
    ]
    words = (metadata.get("License") or "").strip().split("\n")[0][:_LICENCE_WORDS]
    return [one for one in classifiers if one != "OSI Approved"] or ([words] if words else [])


def _debian() -> list[Json]:
    if not _DPKG.exists():
        return []
    found = []
    for entry in _DPKG.read_text(errors="replace").split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", entry, re.MULTILINE))
        if fields.get("Status") == "install ok installed":
            name, version = fields["Package"], fields["Version"]
            licences = _copyright(name)
            found.append(_component(f"pkg:deb/debian/{name}@{version}", name, version, licences))
    return found


def _copyright(package: str) -> list[str]:
    """The short names of a machine-readable copyright file."""
    path = _COPYRIGHTS / package / "copyright"
    if not path.exists():
        return []
    return sorted(set(re.findall(r"^License: (\S.*)$", path.read_text(errors="replace"), re.MULTILINE)))


def _component(purl: str, name: str, version: str, licences: list[str]) -> Json:
    named = [{"license": {"name": one}} for one in licences]
    return {"type": "library", "name": name, "version": version, "purl": purl, "licenses": named}


def _shown(component: Json) -> str:
    return ", ".join(one["license"]["name"] for one in component["licenses"]) or "not stated"


if __name__ == "__main__":
    main()
