"""The metrics of a training run, as JSON lines and as TensorBoard events."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

FILE = "metrics.jsonl"
EVENTS = "tensorboard"


class TrainingJournal:
    """Records of metrics in `folder`, which outlives a killed attempt.

    Records of update `start_at` and later are removed, because the resumed run writes them again. Only one of several
    workers `writes`; on the others all methods do nothing.
    """

    def __init__(self, folder: Path, *, start_at: int = 0, writes: bool = True) -> None:
        self._path = folder / FILE
        self._events = folder / EVENTS
        self._writes = writes
        if not writes:
            return
        kept = [record for record in self.records() if record["update"] < start_at]
        self._path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        self._writer = SummaryWriter(str(self._events), purge_step=start_at)

    def records(self) -> list[dict[str, float]]:
        """Return the records written so far."""
        if not self._path.exists():
            return []
        records = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break  # a killed attempt has left an incomplete line
        return records

    def write(self, update: int, kind: str, **metrics: float) -> None:
        """Append a record of `update`, counted from 0. `kind` is `sft`, the method of GRPO, or `validation`."""
        if not self._writes:
            return
        record = {"update": update, "kind": kind, **metrics}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in metrics.items():
            self._writer.add_scalar(f"{kind}/{name}", value, update)

    def publish(self, out: Path) -> None:
        """Copy `metrics.jsonl` and `tensorboard/` to `out`. No record may follow."""
        self._writer.close()
        shutil.copyfile(self._path, out / FILE)
        shutil.copytree(self._events, out / EVENTS)


class Stopwatch:
    """Measures the parts of an update; `seconds` has one entry for each, named `<part>_seconds`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """Record the time since the last lap (or the start) as that of part `name`."""
        now = time.perf_counter()
        self.seconds[f"{name}_seconds"] = round(now - self._since, 4)
        self._since = now
