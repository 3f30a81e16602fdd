"""Counts of the label stage, of all sessions or of one pod's share of them."""

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
    """Counts of the stage."""

    sessions: int = 0
    without_samples: int = 0
    decision_points: int = 0
    empty: int = 0
    failed: int = 0
    stops_moved: int = 0
    questions: int = 0
    unnamed_questions: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    requested: Counter[str] = field(default_factory=Counter)

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
        for sample in labelled.samples:
            self.decisions[sample.decision] += 1
            self.splits[labelled.session.split] += 1
            self.requested.update(sample.requested)

    @property
    def failed_share(self) -> float:
        return self.failed / self.decision_points if self.decision_points else 0.0

    def write(self, path: Path, reasons: Counter[str], counts: dict[str, JsonValue]) -> None:
        """With the reasons for which samples were set aside, and what a model took."""
        path.write_text(json.dumps({"tally": vars(self), "reasons": reasons, "counts": counts}))

    @classmethod
    def read(cls, path: Path) -> tuple[LabelCounts, Counter[str], dict[str, JsonValue]]:
        held = json.loads(path.read_text())
        counted: dict[str, Any] = {
            name: Counter(one) if isinstance(one, dict) else one for name, one in held["tally"].items()
        }
        return cls(**counted), Counter(held["reasons"]), held["counts"]

    def __add__(self, other: LabelCounts) -> LabelCounts:
        return LabelCounts(
            **{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)}
        )
