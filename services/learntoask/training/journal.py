"""Metrics of a training run: one JSON object a line, and the same as TensorBoard events."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

FILE = "metrics.jsonl"
EVENTS = "tensorboard"


class TrainingJournal:
    """Rows in `folder`, which outlives a killed attempt. `start_at` forgets rows from that update on, which the
    resumed run is going to write again. Of several workers one `writes`."""

    def __init__(self, folder: Path, *, start_at: int = 0, writes: bool = True) -> None:
        self._path = folder / FILE
        self._events = folder / EVENTS
        self._writes = writes
        if not writes:
            return
        kept = [row for row in self.rows() if row["update"] < start_at]
        self._path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self._writer = SummaryWriter(str(self._events), purge_step=start_at)

    def rows(self) -> list[dict[str, float]]:
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break  # the line that a kill cut off
        return rows

    def write(self, update: int, kind: str, **metrics: float) -> None:
        if not self._writes:
            return
        row = {"update": update, "kind": kind, **metrics}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in metrics.items():
            self._writer.add_scalar(f"{kind}/{name}", value, update)

    def publish(self, out: Path) -> None:
        self._writer.close()
        shutil.copyfile(self._path, out / FILE)
        shutil.copytree(self._events, out / EVENTS)


class Stopwatch:
    """Seconds of the parts of an update, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[f"{name}_seconds"] = round(now - self._since, 4)
        self._since = now
