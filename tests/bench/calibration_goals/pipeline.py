"""The stages up to calibrate, in one process, each in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from learntoask.calibration import stage as calibrate
from learntoask.calibration.draw import stage as draw
from learntoask.calibration.draw.plan import is_reserve
from learntoask.core.json_lines import read_records
from learntoask.core.manifest import Corruption, Dataset, GraderSettings, Label
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.pack import Pack, load_pack
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.grading import stage as grader
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from learntoask.review.records import ANSWERS_FILE, ITEMS_FILE, ReviewItem

from calibration_goals.gold import Gold, pharmacy_gold, sgd_gold
from calibration_goals.people import answer_all, write_answers

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("LTA_DATA", ROOT.parent / "shared/data"))
_RUNS = {
    "prepare": prepare.run,
    "label": label.run,
    "grader": grader.run,
    "draw": draw.run,
    "calibrate": calibrate.run,
}


class Quiet:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


@dataclass
class Pipeline:
    """A run of the stages before training, in `folder`."""

    folder: Path
    pack: Pack
    files: Mapping[str, Path]
    method: str = "lexicon"
    encoder: str = "minilm"
    calibrate: Calibrate = field(default_factory=Calibrate)
    corrupt: Corruption = field(default_factory=Corruption)
    seconds: dict[str, float] = field(default_factory=dict)

    def context(self, stage: str, *, fresh: bool = True) -> StageContext:
        out, work = self.folder / stage, self.folder / f"{stage}-work"
        for part in (out, work) if fresh else (out,):
            shutil.rmtree(part, ignore_errors=True)
        for part in (out, work):
            part.mkdir(parents=True, exist_ok=True)
        spec: Any = SimpleNamespace(
            dataset=Dataset(uri="logs.jsonl", corrupt=self.corrupt),
            label=Label.model_validate({"method": self.method}),
            grader=GraderSettings.model_validate({"encoder": self.encoder}),
            calibrate=self.calibrate,
        )
        (self.folder / "review").mkdir(exist_ok=True)
        (self.folder / "review" / ANSWERS_FILE).touch()
        names = list(_RUNS)
        return StageContext(
            stage=stage,
            key=stage,
            spec=spec,
            pack=self.pack,
            inputs={name: self.folder / name for name in (*names[: names.index(stage)], "review")},
            files=dict(self.files),
            out=out,
            work=work,
            progress=Quiet(),
        )

    def run(self, *stages: str, fresh: bool = True) -> StageSummary:
        """Run stages one after the other, and return the summary of the last one."""
        summary: StageSummary = {}
        for stage in stages:
            started = time.monotonic()
            summary = _RUNS[stage](self.context(stage, fresh=fresh))
            self.seconds[stage] = time.monotonic() - started
        return summary

    def answer(self, gold: Gold, *, errors: float, seed: int) -> int:
        """Let simulated people answer all items, and return the number of answers."""
        answers = answer_all(self.asked(), gold, errors=errors, seed=seed)
        write_answers(self.folder / "review" / ANSWERS_FILE, answers)
        return len(answers)

    def asked(self) -> list[ReviewItem]:
        """Return the items that people are asked, without the reserve."""
        items = read_records(self.folder / "draw" / ITEMS_FILE, ReviewItem)
        return [item for item in items if not is_reserve(item)]

    def labelled(self, stage: str) -> list[LabelledSession]:
        return list(read_records(self.folder / stage / "labelled.jsonl", LabelledSession))


def pharmacy_files() -> tuple[dict[str, Path], Gold]:
    """Return the logs of the pharmacy and the truth about them."""
    folder = ROOT / "examples/pharmacy"
    return {"dataset": folder / "logs.jsonl"}, pharmacy_gold(folder / "gold.jsonl")


def sgd_files() -> tuple[dict[str, Path], Gold]:
    """Return the logs of SGD and the truth about them."""
    train, test = DATA / "sgd/train.jsonl", DATA / "sgd/test.jsonl"
    return {"dataset": train, "test": test}, sgd_gold(train, test)


def sgd_pack() -> Pack:
    """Make SGD's pack from its schema."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "pack.yaml")
        script = ROOT / "examples/sgd/make_pack.py"
        subprocess.run(
            [sys.executable, script, "--data", DATA / "sgd", "--out", out],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return load_pack(out)
