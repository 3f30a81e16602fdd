"""The stages up to calibrate on the pharmacy logs, with answers of people who know the truth."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from learntoask.calibration import stage as calibrate
from learntoask.calibration.draw import stage as draw
from learntoask.calibration.draw.plan import is_reserve
from learntoask.core.manifest import Dataset, GraderSettings, Label
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.pack import load_pack
from learntoask.core.stages.contract import StageContext
from learntoask.grading import stage as grader
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from learntoask.review.records import ANSWERS_FILE, ReviewAnswer, ReviewItem

from worlds.pharmacy import PHARMACY, pharmacy_gold

PACK = load_pack(PHARMACY / "pack.yaml")
RUNS = {
    "prepare": prepare.run,
    "label": label.run,
    "grader": grader.run,
    "draw": draw.run,
    "calibrate": calibrate.run,
}


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


class Killed(Exception):
    pass


class KilledAfter:
    """Progress of an attempt that is killed at its `calls`th report."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


def context(folder: Path, stage: str, **more) -> StageContext:
    """The context of a stage whose output and work folders are in `folder`. The output of an earlier attempt is
    removed, its work is not."""
    out, work = folder / stage, folder / f"{stage}-work"
    shutil.rmtree(out, ignore_errors=True)
    for part in (out, work):
        part.mkdir(parents=True, exist_ok=True)
    spec = SimpleNamespace(
        dataset=Dataset(
            uri="logs.jsonl", max_sessions=more.pop("sessions", 90), corrupt=more.pop("corrupt", {})
        ),
        label=more.pop("label", Label(method="lexicon")),
        grader=GraderSettings(encoder="hashing"),
        calibrate=more.pop("calibrate", Calibrate(budget=100)),
    )
    return StageContext(
        stage=stage,
        key=stage,
        spec=spec,
        pack=more.pop("pack", PACK),
        inputs={
            **{name: folder / name for name in RUNS if name != stage},
            "review": more.pop("review", folder / "review"),
        },
        files={"dataset": PHARMACY / "logs.jsonl"},
        out=out,
        work=work,
        progress=more.pop("progress", Silent()),
    )


def answered_by_gold(items: Iterable[ReviewItem]) -> list[str]:
    """Return the lines of answers.jsonl by somebody who answers everything that is asked, without an error."""
    gold = pharmacy_gold()
    lines = []
    for item in items:
        if not is_reserve(item):
            said = gold[item.origin.session_id].answer(item)
            answer = ReviewAnswer(item=item.digest, reviewer="ada", answer=said, blind=said)
            lines.append(answer.model_dump_json())
    return lines


def reviewed(folder: Path, lines: list[str]) -> Path:
    """Write the output of a review, and return its folder."""
    folder.mkdir()
    (folder / ANSWERS_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder
