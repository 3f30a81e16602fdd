"""Curves of training logs for the report, with at most 200 points each."""

from __future__ import annotations

import json
import math
from pathlib import Path

from learntoask.evaluation.report_schema import TrainingCurve

_MOST_POINTS = 200


def read_curves(stage: str, metrics: Path) -> list[TrainingCurve]:
    """Return one curve per figure of a metrics.jsonl (records of `update`, `kind` and numbers), if it exists."""
    if not metrics.exists():
        return []
    points: dict[str, list[tuple[float, float]]] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        update, kind = record.pop("update", None), record.pop("kind", "train")
        for name, value in record.items():
            if update is not None and isinstance(value, int | float) and math.isfinite(value):
                points.setdefault(f"{kind}/{name}", []).append((float(update), float(value)))
    return [_curve(stage, name, found) for name, found in points.items()]


def _curve(stage: str, name: str, points: list[tuple[float, float]]) -> TrainingCurve:
    """Average neighbouring points instead of dropping some, so that a spike stays visible."""
    width = math.ceil(len(points) / _MOST_POINTS)
    parts = [points[start : start + width] for start in range(0, len(points), width)]
    return TrainingCurve(
        stage=stage,
        name=name,
        steps=[sum(step for step, _ in part) / len(part) for part in parts],
        values=[sum(value for _, value in part) / len(part) for part in parts],
    )
