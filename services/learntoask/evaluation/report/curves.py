"""Training logs as curves for the report, thinned out to what a plot can show."""

from __future__ import annotations

import json
import math
from pathlib import Path

from learntoask.evaluation.report_schema import Curve

_MOST_POINTS = 200


def read_curves(stage: str, metrics: Path) -> list[Curve]:
    """One curve per figure of a metrics.jsonl (rows of `update`, `kind` and numbers); none where it is absent."""
    if not metrics.exists():
        return []
    points: dict[str, list[tuple[float, float]]] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        update, kind = row.pop("update", None), row.pop("kind", "train")
        for name, value in row.items():
            if update is not None and isinstance(value, int | float) and math.isfinite(value):
                points.setdefault(f"{kind}/{name}", []).append((float(update), float(value)))
    return [_curve(stage, name, found) for name, found in points.items()]


def _curve(stage: str, name: str, points: list[tuple[float, float]]) -> Curve:
    """Neighbouring points are averaged, not dropped, so that a spike still shows."""
    width = math.ceil(len(points) / _MOST_POINTS)
    parts = [points[start : start + width] for start in range(0, len(points), width)]
    return Curve(
        stage=stage,
        name=name,
        steps=[sum(step for step, _ in part) / len(part) for part in parts],
        values=[sum(value for _, value in part) / len(part) for part in parts],
    )
