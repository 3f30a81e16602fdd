"""Counts of the stage label, over all sessions or over one shard. The summary of the stage is made of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from learntoask.labeling.labellers.protocol import Findings
from learntoask.labeling.samples import Labelling

COUNTS_FILE = "tally.json"


@dataclass
class LabelCounts:
    """Counts over labelled sessions. Counts of several shards add up with `+`."""

    sessions: int = 0
    without_samples: int = 0  # sessions
    decision_points: int = 0
    empty: int = 0  # `continue` with an empty micro-goal, dropped
    failed: int = 0  # decision points in quarantine
    stops_moved: int = 0  # sessions whose stop is not at the log's end marker
    questions: int = 0
    unnamed_questions: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    requested: Counter[str] = field(default_factory=Counter)
    unknown_items: Counter[str] = field(default_factory=Counter)

    def add(self, labelling: Labelling, findings: Findings) -> None:
        labelled = labelling.labelled
        self.sessions += 1
        self.without_samples += not labelled.samples
        self.decision_points += labelling.decision_points
        self.empty += labelling.empty
        self.failed += len(labelling.failures)
        self.stops_moved += labelling.stop_moved
        self.questions += findings.questions
        self.unnamed_questions += findings.unnamed_questions
        self.unknown_items.update(findings.unknown_items)
        for sample in labelled.samples:
            self.decisions[sample.decision] += 1
            self.splits[labelled.session.split] += 1
            self.requested.update(sample.requested)

    @property
    def failed_share(self) -> float:
        return self.failed / self.decision_points if self.decision_points else 0.0

    def write(self, path: Path, reasons: Counter[str], usage: dict[str, JsonValue]) -> None:
        """Write the counts of a shard, its quarantined samples by reason, and the `usage` of a language model."""
        path.write_text(json.dumps({"tally": vars(self), "reasons": reasons, "counts": usage}))

    @classmethod
    def read(cls, path: Path) -> tuple[LabelCounts, Counter[str], dict[str, JsonValue]]:
        """Return what `write` wrote: the counts, the reasons and the usage."""
        stored = json.loads(path.read_text())
        counts: dict[str, Any] = {
            name: Counter(count) if isinstance(count, dict) else count
            for name, count in stored["tally"].items()
        }
        return cls(**counts), Counter(stored["reasons"]), stored["counts"]

    def __add__(self, other: LabelCounts) -> LabelCounts:
        return LabelCounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})
