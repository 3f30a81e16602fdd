"""The stages from prepare to calibrate on the pharmacy logs, in this process and with people who know the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from learntoask.calibration import stage as calibrate
from learntoask.calibration.draw import stage as draw
from learntoask.calibration.draw.plan import is_reserve
from learntoask.core.json_lines import read_records, write_records
from learntoask.core.manifest import RunSpec
from learntoask.core.pack import load_pack
from learntoask.core.records import LabelledSession, Sample
from learntoask.core.stages.contract import Progress, StageContext
from learntoask.grading import stage as grader
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from learntoask.review.records import ANSWERS_FILE, ITEMS_FILE, Answer, ReviewAnswer, ReviewItem

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


def stage_context(
    folder: Path,
    stage: str,
    *,
    logs: Path = PHARMACY / "logs.jsonl",
    review: Path | None = None,
    progress: Progress | None = None,
    **spec: Mapping[str, Any],
) -> StageContext:
    """Return the context of a stage whose output, empty for now, and inputs are the folders of their names in `folder`.

    `spec` are parts of a manifest's spec; `review` holds the answers.
    """
    out, work = folder / stage, folder / f"{stage}-work"
    shutil.rmtree(out, ignore_errors=True)
    for part in (out, work):
        part.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Mapping[str, Any]] = {
        "pack": {"uri": "pack.yaml"},
        "label": {"method": "lexicon"},
        "grader": {"encoder": "hashing"},
        "calibrate": {"budget": 100},
        **spec,
        "dataset": {"uri": "logs.jsonl", "maxSessions": 90, **spec.get("dataset", {})},
    }
    return StageContext(
        stage=stage,
        key=stage,
        spec=RunSpec.model_validate(parts),
        pack=PACK,
        inputs={
            **{name: folder / name for name in RUNS if name != stage},
            "review": review or folder / "review",
        },
        files={"dataset": logs},
        out=out,
        work=work,
        progress=progress or Silent(),
    )


def by_gold(item: ReviewItem) -> Answer:
    """Return the right answer to an item."""
    return pharmacy_gold()[item.origin.session_id].answer(item)


def items_of(folder: Path) -> list[ReviewItem]:
    """Return the items that were drawn in `folder` and are asked."""
    drawn = read_records(folder / "draw" / ITEMS_FILE, ReviewItem)
    return [item for item in drawn if not is_reserve(item)]


def publish_answers(
    folder: Path, items: Iterable[ReviewItem], answer: Callable[[ReviewItem], Answer] = by_gold
) -> Path:
    """Write the output of a review to whose `items` one person gave an `answer` each, and return its folder."""
    folder.mkdir()
    given = ((item.digest, answer(item)) for item in items)
    write_records(
        folder / ANSWERS_FILE,
        (ReviewAnswer(item=digest, reviewer="ada", answer=said, blind=said) for digest, said in given),
    )
    return folder


def samples_of(labels: Path, *splits: str) -> dict[tuple[str, int], Sample]:
    """Return the samples of the sessions of some splits, by session and turn. `labels` is the folder with them."""
    return {
        (one.session.session_id, sample.turn): sample
        for one in read_records(labels / "labelled.jsonl", LabelledSession)
        if one.session.split in splits
        for sample in one.samples
    }
