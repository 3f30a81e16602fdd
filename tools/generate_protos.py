"""Write the Python stubs of protos/ into services/learntoask/wire/ (`make protos`).

The stubs are committed, so that an installation needs no compiler. A unit test fails when they are older than the
.proto files.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
WIRE = ROOT / "services" / "learntoask" / "wire"
PACKAGE = "learntoask/v1"


def generate(target: Path) -> list[Path]:
    """Write the stubs of every .proto file as modules of one flat package at `target`; return their paths."""
    sources = sorted((PROTOS / PACKAGE).glob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"-I{PROTOS}", f"-I{well_known}"]
        arguments += [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main(["protoc", *arguments, *map(str, sources)]):
            raise SystemExit("protoc failed")
        target.mkdir(parents=True, exist_ok=True)
        return [_place(made, target) for made in sorted((Path(folder) / PACKAGE).iterdir())]


def _place(made: Path, target: Path) -> Path:
    # protoc derives imports from the path of the .proto file, but our stubs are in learntoask.wire.
    text = made.read_text(encoding="utf-8").replace(
        "from learntoask.v1 import", "from learntoask.wire import"
    )
    written = target / made.name
    written.write_text(text, encoding="utf-8")
    return written


if __name__ == "__main__":
    for path in generate(Path(sys.argv[1]) if len(sys.argv) > 1 else WIRE):
        print(path)
