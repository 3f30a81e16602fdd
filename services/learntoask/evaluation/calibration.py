"""Read what the calibrate stage published about people's answers. A run without it has read nothing."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import JsonValue

from learntoask.calibration.truth import TRUTH_FILE, HumanPoint
from learntoask.calibration.verdict import CALIBRATION_FILE
from learntoask.core.json_lines import read_records


def read_human_points(labels: Path) -> list[HumanPoint]:
    """Return what people say is true at decision points; `labels` is the folder with labelled.jsonl."""
    path = labels / TRUTH_FILE
    return list(read_records(path, HumanPoint)) if path.exists() else []


def read_calibration(labels: Path) -> dict[str, JsonValue] | None:
    """Return the content of calibration.json, or None if nobody was asked."""
    path = labels / CALIBRATION_FILE
    return dict(json.loads(path.read_bytes())) if path.exists() else None
