"""The committed gRPC stubs are those of protos/."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WIRE = ROOT / "services" / "learntoask" / "wire"


def test_the_stubs_are_fresh(tmp_path: Path):
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed: stubs cannot be regenerated")
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tools" / "generate_protos.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    made = generate.generate(tmp_path)
    assert made
    for path in made:
        committed = WIRE / path.name
        assert _content(committed) == _content(path), f"{committed} is stale: run `make protos`"
    assert {path.name for path in made} == {path.name for path in WIRE.glob("*_pb2*.py*")}


def _content(path: Path) -> str:
    """Return a stub without the generator's version, which differs between equivalent patch releases."""
    return re.sub(r"\b\d+\.\d+\.\d+\b|^ {4}\d+,$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
