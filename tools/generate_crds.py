"""Write manifests/crds/*.yaml from the manifest models.

python tools/generate_crds.py            rewrites the files
python tools/generate_crds.py --check    exits with 1 when they are not current
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from learntoask.core.crd import DEFINITIONS, custom_resource_definition

CRDS = Path(__file__).resolve().parent.parent / "manifests" / "crds"
HEAD = "# Made from the manifest models by `make crds`; change those instead.\n"


def main() -> int:
    files = {CRDS / f"{kind.plural}.yaml": _text(custom_resource_definition(kind)) for kind in DEFINITIONS}
    if "--check" in sys.argv:
        return int(any(not path.is_file() or path.read_text() != text for path, text in files.items()))
    CRDS.mkdir(exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return 0


def _text(definition: object) -> str:
    return HEAD + yaml.dump(
        definition, Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=118
    )


class _WithoutAliases(yaml.SafeDumper):
    """Write repeated parts out, because not every reader of CRDs follows YAML's references."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text_of(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Quote `y` and `n`, which Kubernetes would read as booleans and PyYAML would not quote."""
    style = '"' if value.lower() in ("y", "n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_WithoutAliases.add_representer(str, _text_of)


if __name__ == "__main__":
    sys.exit(main())
