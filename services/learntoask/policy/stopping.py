"""How a published policy stops: the threshold that was chosen for it, and the temperature that calibrates it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from learntoask.core.manifest import Train
from learntoask.core.records import Record

DEFAULT_THRESHOLD: float = Train.model_fields["stop_threshold"].default
_FILE = "stopping.json"


class Stopping(Record):
    """What `train.stopThreshold: auto` chose.

    `threshold` bounds the probability as the model gives it, and `temperature` turns that into a calibrated one. The
    threshold was chosen at `points` decision points of `sessions` sessions, with `stops` stops.
    """

    threshold: float
    temperature: float
    sessions: int
    points: int
    stops: int


def publish_stopping(out: Path, stopping: Stopping) -> None:
    """Write `stopping` into the output folder of the grpo stage."""
    (out / _FILE).write_text(stopping.model_dump_json(indent=1) + "\n", encoding="utf-8")


def published_stopping(folder: Path) -> Stopping | None:
    """Return what was published in `folder`, None if nothing was chosen there."""
    path = folder / _FILE
    return Stopping.model_validate_json(path.read_bytes()) if path.exists() else None


def threshold_of(setting: float | Literal["auto"], chosen: Stopping | None) -> float:
    """Return the bound of the model's own probability for the setting `train.stopThreshold`."""
    if setting != "auto":
        return setting
    return chosen.threshold if chosen is not None else DEFAULT_THRESHOLD
