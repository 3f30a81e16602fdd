"""A run with `onDeadline: proceed` whose deadline passes while some of the answers are missing."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from learntoask.cli.review import review_of
from learntoask.core.json_lines import read_records
from learntoask.core.stages.planner import Plan
from learntoask.local.executor import Executor
from learntoask.local.view import view
from learntoask.review.progress import QueueStatus
from learntoask.review.records import ANSWERS_FILE, ReviewAnswer
from learntoask.runner.inputs import read_sources
from learntoask.runner.run_folder import RunFolder
from worlds.pharmacy import PHARMACY, pharmacy_gold

HOUR = 3600.0
SPEC = {
    "dataset": {"uri": str(PHARMACY / "logs.jsonl"), "maxSessions": 160},
    "pack": {"uri": str(PHARMACY / "pack.yaml")},
    "label": {"method": "lexicon"},
    "grader": {"encoder": "hashing", "maxMissingShare": 1},
    "calibrate": {"budget": 120, "onDeadline": "proceed", "deadline": "48h"},
    "train": {"base": {"uri": "tiny:"}, "sft": {"epochs": 0}, "grpo": {"updates": 0}, "maxNewTokens": 12},
    "evaluate": {"samples": 0, "replay": False, "bootstrap": 100, "maxSessions": 12},
}


class People:
    """The display of a run. While it waits for people, they give a part of the answers, and then two days pass."""

    def __init__(self, home: Path, *, share: float) -> None:
        self._home, self._share = home, share
        self.passed = 0.0  # seconds that have passed beside those of the test
        self.waited: list[float] = []  # what had passed at each look at the run while it waited
        self.status: QueueStatus | None = None
        self.given = 0

    def now(self) -> float:
        return time.time() + self.passed

    def planned(self, plan: Plan) -> None:
        if not any(stage.state == "Reviewing" for stage in plan.stages):
            return
        self.waited.append(self.passed)
        if self.status is None:
            self._answer()
        self.passed = 47 * HOUR if not self.passed else 49 * HOUR

    def _answer(self) -> None:
        queue, gold = review_of(view("clinic", home=self._home)).queue, pharmacy_gold()
        while queue.status().given < self._share * queue.status().needed:
            digest = queue.next_item("ada")
            assert digest is not None
            item = queue.item(digest)
            assert item is not None
            queue.answer(
                digest, "ada", gold[item.origin.session_id].answer(item), seconds=12.0, id=f"ada-{digest}"
            )
            self.given += 1
        self.status = queue.status()

    def waiting(self, stage: str) -> None: ...

    def started(self, stage: str, attempt: int) -> None: ...

    def progressed(self, stage: str, progress: dict[str, Any]) -> None: ...

    def stopped(self, stage: str) -> None: ...

    def ended(
        self, stage: str, *, failure: str | None, took: float, warnings: Sequence[str] = ()
    ) -> None: ...


@pytest.mark.timeout(1500)
def test_the_run_goes_on_with_the_answers_there_are_and_says_how_many_are_missing(tmp_path: Path) -> None:
    manifest = tmp_path / "clinic.yaml"
    document = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "LearnToAskRun",
        "metadata": {"name": "clinic"},
        "spec": SPEC,
    }
    manifest.write_text(yaml.safe_dump(document), encoding="utf-8")
    home = tmp_path / "home"
    sources, folder, people = (
        read_sources(manifest, home=home),
        RunFolder(home, "clinic"),
        People(home, share=0.4),
    )
    with folder.locked():
        ended = Executor(sources=sources, folder=folder, home=home, display=people).run(now=people.now)
    assert ended.outcome == "Succeeded", ended.message
    assert people.waited == [0, 47 * HOUR]
    status = people.status
    assert status is not None
    assert 0 < status.missing < status.needed
    shown = view("clinic", home=home)
    answers = list(read_records(shown.output("review") / ANSWERS_FILE, ReviewAnswer))
    assert len(answers) == people.given
    report = json.loads((shown.output("evaluate") / "report.json").read_text(encoding="utf-8"))
    assert report["calibration"]["answers"]["given"] == people.given
    notes = " ".join(report["notes"])
    assert f"review ended with {status.missing} of {status.needed} answers missing" in notes
    assert "not calibrated" in notes  # too few answers for the gate
