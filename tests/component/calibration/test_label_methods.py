"""The stages draw and calibrate where forms or a language model label, and do so wrongly in some sessions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from learntoask.calibration.draw.findings import FINDINGS_FILE, Finding
from learntoask.core.json_lines import read_records
from learntoask.core.records import Sample
from learntoask.review.records import ReviewItem
from worlds.calibration_run import (
    PACK,
    RUNS,
    by_gold,
    items_of,
    publish_answers,
    samples_of,
    stage_context,
)
from worlds.llm.server import LexiconModel, LlmServer, ReceivedRequest, Reply
from worlds.pharmacy import annotated_logs

FIELDS = [field.name for field in PACK.tasks[0].fields]
LEARNED = ("train", "validation")  # people may correct the labels of these sessions
Labels = dict[tuple[str, int], Sample]


def errs(*about: object) -> bool:
    """Whether a labeller errs about something: in a quarter of all cases."""
    return hashlib.sha256(repr(about).encode()).digest()[0] < 64


def other_field(named: str) -> str:
    """The field that a labeller takes for another."""
    return FIELDS[(FIELDS.index(named) + 1) % len(FIELDS)]


def changed(before: Labels, after: Labels) -> set[tuple[str, int]]:
    """The decision points whose label is another one, or gone."""

    def label(sample: Sample | None) -> tuple[Any, ...]:
        return (sample.decision, {item.field for item in sample.remaining}) if sample else ()

    return {key for key, sample in before.items() if label(sample) != label(after.get(key))}


def run_stages(folder: Path, **parts: Any) -> list[ReviewItem]:
    """Run all stages, with people who know the truth, and return the items that they answered."""
    for stage in ("prepare", "label", "grader", "draw"):
        RUNS[stage](stage_context(folder, stage, **parts))
    items = items_of(folder)
    publish_answers(folder / "review", items)
    RUNS["calibrate"](stage_context(folder, "calibrate", **parts))
    return items


def check_labels(folder: Path, items: list[ReviewItem], right: Labels) -> None:
    """Check that wrong labels go and right ones stay, and that no label contradicts a person who was asked about it."""
    published, after = samples_of(folder / "label", *LEARNED), samples_of(folder / "calibrate", *LEARNED)
    wrong = changed({key: published[key] for key in published.keys() & right.keys()}, right)
    assert len(wrong) >= 20
    touched = changed(published, after)
    assert len(touched & wrong) >= len(wrong) / 3
    assert len(touched - wrong) <= 0.05 * len(published)
    asked = [
        item for item in items if item.kind == "asks_for" and item.split != "anchor" and item.why != "known"
    ]
    rejected = 0
    for item in asked:
        key = item.origin.session_id, item.origin.turn
        said = set(by_gold(item))
        requested = set(published[key].requested) if key in published else set()
        if requested - said and said:
            rejected += 1
            assert key not in after or not set(after[key].requested) - said
    assert rejected
    measured = samples_of(folder / "label", "test")
    assert measured == samples_of(folder / "calibrate", "test")


def mistaken(session_id: str, annotations: dict[str, Any]) -> None:
    """Some forms take a field for another."""
    requested = [entry for turn in annotations["turns"] for entry in turn["requested"]]
    if requested and errs(session_id):
        taken = requested[0]["item"]
        for entry in requested:
            entry["item"] = other_field(taken) if entry["item"] == taken else entry["item"]


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    """The labels of sessions whose annotations are right."""
    folder = tmp_path_factory.mktemp("right")
    logs = annotated_logs(folder / "logs.jsonl")
    for stage in ("prepare", "label"):
        RUNS[stage](stage_context(folder, stage, logs=logs, label={"method": "annotated"}))
    return samples_of(folder / "label", *LEARNED)


@pytest.mark.timeout(600)
def test_annotations_that_people_reject_do_not_stay(tmp_path: Path, right: Labels) -> None:
    logs = annotated_logs(tmp_path / "logs.jsonl", spoil=mistaken)
    items = run_stages(tmp_path / "run", logs=logs, label={"method": "annotated"})
    check_labels(tmp_path / "run", items, right)


def forgetful(model: LexiconModel, asked: ReceivedRequest) -> Reply:
    """A model that takes a field for another in some sessions, in others when it is asked again."""
    found = model.extraction(asked)
    session = asked.question.rsplit("\n", 1)[0]
    if found["items"] and errs(session, asked.body["seed"]):
        mistaken = found["items"][0]["field"]
        for item in found["items"]:
            item["field"] = other_field(mistaken) if item["field"] == mistaken else item["field"]
    return Reply(json.dumps(found))


@pytest.mark.timeout(600)
def test_a_model_is_asked_again_and_people_reject_what_it_labelled_wrong(
    tmp_path: Path, right: Labels
) -> None:
    model = LexiconModel(PACK, task=PACK.tasks[0].name)
    with LlmServer(lambda asked: forgetful(model, asked)) as server:
        llm = {"endpoint": {"uri": server.uri, "model": "m", "timeout": "5m"}, "perSession": True}
        parts: dict[str, Any] = {"label": {"method": "llm", "llm": llm}}
        items = run_stages(tmp_path / "run", **parts)
    findings = list(read_records(tmp_path / "run" / "draw" / FINDINGS_FILE, Finding))
    judges = {judge for finding in findings for judge in finding.asks}
    assert judges == {"labeller", "labeller#2", "labeller#3", "rewarding", "reporting"}
    check_labels(tmp_path / "run", items, right)
