"""People's answers of kind `is_stop` decide the stops at which the policy's stop threshold is chosen."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from learntoask.calibration.answers import NO, YES
from learntoask.calibration.truth import TRUTH_FILE
from learntoask.core.json_lines import read_records
from learntoask.core.records import LabelledSession
from learntoask.core.stages.graph import STAGE_BY_NAME, publisher
from learntoask.policy.stopping import Stopping, published_stopping
from learntoask.review.records import Answer, ReviewItem
from learntoask.training.base.packaged import packaged_tokenizer
from learntoask.training.base.tiny import tiny_model, tiny_tokenizer
from learntoask.training.grpo import stage as grpo
from learntoask.training.sft.targets import split_for_training
from worlds.calibration_run import RUNS, by_gold, items_of, publish_answers, stage_context
from worlds.pharmacy import annotated_logs

KEPT_SHARE = 0.9
LABEL = {"method": "annotated"}


def premature(session_id: str, annotations: dict[str, Any]) -> None:
    """In a third of the sessions the form says that the expert acts in the second turn, which asks."""
    turns = annotations["turns"]
    if len(turns) > 2 and turns[1]["requested"] and hashlib.sha256(session_id.encode()).digest()[0] < 85:
        annotations["stop_msg"] = turns[1]["msg"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    logs = annotated_logs(folder / "logs.jsonl", spoil=premature)
    for stage in ("prepare", "label", "grader", "draw"):
        RUNS[stage](stage_context(folder, stage, logs=logs, label=LABEL))
    tokenizer = tiny_tokenizer(packaged_tokenizer())
    tiny_model(tokenizer, seed=0).save_pretrained(folder / "sft" / "model")
    tokenizer.save_pretrained(folder / "sft" / "model")
    return folder


def calibrated(drawn: Path, name: str, items: list[ReviewItem], answer: Any = by_gold) -> Path:
    """Calibrate with these answers, and return the folder of the output."""
    folder = drawn.parent / f"{drawn.name}-{name}"
    folder.mkdir()
    for stage in ("prepare", "label", "grader", "draw", "sft"):
        (folder / stage).symlink_to(drawn / stage)
    publish_answers(folder / "review", items, answer)
    RUNS["calibrate"](stage_context(folder, "calibrate", label=LABEL))
    return folder


def stopping_of_run(folder: Path) -> tuple[Stopping, dict[tuple[str, int], str]]:
    """Let GRPO choose how a policy stops, and return that with the decisions by which it chose, by session and turn."""
    reads = {
        name: folder / publisher(STAGE_BY_NAME["grpo"], name, calibrated=True)
        for name in STAGE_BY_NAME["grpo"].inputs
    }
    train = {
        # Without GRPO no session is kept from SFT.
        "grpo": {"updates": 1, "batchSessions": 1, "groupSize": 2},
        "sft": {"keptShare": KEPT_SHARE},
        "stopThreshold": "auto",
        "maxNewTokens": 4,
    }
    context = replace(stage_context(folder, "grpo", train=train), inputs=reads)
    grpo.run(context)
    chosen = published_stopping(context.out)
    assert chosen is not None
    labelled = read_records(reads["label"] / "labelled.jsonl", LabelledSession)
    split = split_for_training(labelled, kept_share=KEPT_SHARE, seed=0)
    return chosen, {
        (one.session.session_id, sample.turn): sample.decision
        for one in (*split.validation, *split.kept)
        for sample in one.samples
    }


def opposite(item: ReviewItem) -> Answer:
    return (NO,) if by_gold(item) == (YES,) else (YES,)


@pytest.mark.timeout(600)
def test_people_who_reject_stops_change_where_the_threshold_is_chosen(drawn: Path) -> None:
    items = items_of(drawn)
    rejected = [
        item for item in items if item.kind == "is_stop" and item.split != "anchor" and by_gold(item) == (NO,)
    ]
    before, by_the_log = stopping_of_run(calibrated(drawn, "nobody", []))
    after, by_people = stopping_of_run(calibrated(drawn, "rejected", rejected))
    held = [key for item in rejected if (key := (item.origin.session_id, item.origin.turn)) in by_the_log]
    assert held
    assert {by_the_log[key] for key in held} == {"stop"}
    assert {by_people[key] for key in held} == {"continue"}
    for chosen, decisions in ((before, by_the_log), (after, by_people)):
        assert chosen.points == len(decisions)
        assert chosen.stops == list(decisions.values()).count("stop")
    assert after.points > before.points  # the turns after the rejected stops count, too


@pytest.mark.timeout(600)
def test_what_people_say_of_the_anchor_s_stops_only_measures(drawn: Path) -> None:
    items = items_of(drawn)

    def otherwise(item: ReviewItem) -> Answer:
        return opposite(item) if item.kind == "is_stop" and item.split == "anchor" else by_gold(item)

    right = calibrated(drawn, "right", items) / "calibrate"
    wrong = calibrated(drawn, "wrong", items, otherwise) / "calibrate"
    assert (right / "labelled.jsonl").read_bytes() == (wrong / "labelled.jsonl").read_bytes()
    assert (right / TRUTH_FILE).read_bytes() != (wrong / TRUTH_FILE).read_bytes()
