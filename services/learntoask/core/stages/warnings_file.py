"""Warnings that a stage publishes with its output, so that the report can show them.

The grader stage publishes its own in agreement.json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

_FILE = "warnings.json"


def publish_warnings(out: Path, warnings: Sequence[str]) -> None:
    """Write `warnings` into the output folder of a stage, if there are any."""
    if warnings:
        (out / _FILE).write_text(json.dumps(list(warnings), indent=1) + "\n", encoding="utf-8")


def published_warnings(folder: Path) -> list[str]:
    """Return the warnings that a stage published in `folder`."""
    path = folder / _FILE
    return [str(text) for text in json.loads(path.read_bytes())] if path.exists() else []
