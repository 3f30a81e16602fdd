"""The planner of a run with `spec.calibrate`: people compute one of its stages."""

from __future__ import annotations

from typing import Any

import pytest
from learntoask.core.errors import InputError
from learntoask.core.manifest import Calibrate, RunSpec, parse_manifest
from learntoask.core.stages.graph import STAGES, PackPart, RunInputs, rewind_counters, stages_of
from learntoask.core.stages.planner import Plan, Review, Start, plan
from learntoask.core.stages.publication import Publication, PublishedFile
from learntoask.core.stages.review import next_step, second_person, waiting_message
from learntoask.core.status.conditions import REVIEW_DEADLINE_EXCEEDED, WAITING_FOR_REVIEW

NOW = 1_000_000.0
PACK: dict[PackPart, str] = {
    "logs": "l",
    "labelling": "b",
    "policy": "p",
    "grading": "g",
    "judging": "j",
    "whole": "w",
}


def spec(**calibrate: Any) -> RunSpec:
    return RunSpec.model_validate(
        {"dataset": {"uri": "logs.jsonl"}, "pack": {"uri": "pack.yaml"}, "calibrate": calibrate}
    )


class Run:
    """A run whose stages are published as the planner starts them. Each output is the content that a test gives."""

    def __init__(self, **calibrate: Any) -> None:
        self.spec = spec(**calibrate)
        self.published: dict[str, Publication] = {}
        self.started: list[Start] = []
        self.reruns: dict[str, int] = {}

    def plan(self, **reviews: Review) -> Plan:
        inputs = RunInputs(pack=PACK, files={"dataset": "data"}, reruns=self.reruns)
        return plan(
            spec=self.spec,
            inputs=inputs,
            published=self.published,
            observed={},
            now=NOW,
            reviews=reviews,
        )

    def publish(self, stage: str, key: str, content: str = "") -> None:
        file = PublishedFile(path="out", digest=content or f"content of {stage}", size=1)
        self.published[key] = Publication(stage=stage, key=key, files=(file,))

    def run(self) -> Plan:
        """Publish what the planner starts, until it starts nothing more."""
        while starts := [action for action in self.plan().actions if isinstance(action, Start)]:
            self.started.append(starts[0])
            self.publish(starts[0].stage, starts[0].key)
        return self.plan()

    def key(self, stage: str) -> str:
        key = next(status.key for status in self.plan().stages if status.name == stage)
        assert key is not None
        return key


def test_nothing_is_trained_before_people_have_answered() -> None:
    run = Run()
    waiting = run.run()
    assert [start.stage for start in run.started] == ["fetch", "prepare", "label", "grader", "draw"]
    assert (waiting.outcome, waiting.actions) == ("Running", ())
    review = next(status for status in waiting.stages if status.name == "review")
    assert (review.state, review.reason) == ("Reviewing", WAITING_FOR_REVIEW)
    run.publish("review", run.key("review"))
    assert run.run().outcome == "Succeeded"
    assert [start.stage for start in run.started[5:]] == [
        "calibrate",
        "sft",
        "grpo",
        "evaluate",
        "gate",
        "serve",
    ]


def test_stages_after_the_calibration_read_its_labels_and_graders() -> None:
    run = Run()
    run.run()
    run.publish("review", run.key("review"))
    run.run()
    calibrate = run.key("calibrate")
    by_stage = {start.stage: start for start in run.started}
    assert by_stage["sft"].inputs["label"] == calibrate
    assert by_stage["grpo"].inputs["grader"] == calibrate
    assert by_stage["evaluate"].inputs["label"] == calibrate
    assert by_stage["calibrate"].inputs["label"] == run.key("label")


def test_other_answers_are_another_calibration() -> None:
    keys = set()
    for answers in ("some", "others"):
        run = Run()
        run.run()
        run.publish("review", run.key("review"), answers)
        keys.add(run.key("calibrate"))
    assert len(keys) == 2


def test_how_long_answers_are_waited_for_changes_no_key() -> None:
    first, second = Run(), Run(deadline="3h", review={"address": "https://r.example"})
    for run in (first, second):
        run.run()
        run.publish("review", run.key("review"))
        run.run()
    assert first.key("serve") == second.key("serve")


def test_a_run_without_calibration_has_none_of_its_stages() -> None:
    plain = RunSpec.model_validate({"dataset": {"uri": "logs.jsonl"}, "pack": {"uri": "pack.yaml"}})
    left = {stage.name for stage in STAGES} - {stage.name for stage in stages_of(plain)}
    assert left == {"draw", "review", "calibrate"}


def test_a_failed_review_fails_the_run() -> None:
    run = Run(onDeadline="fail", deadline="1h")
    run.run()
    late = run.plan(**{run.key("review"): Review(message="12 answers are missing", failed=True)})
    assert (late.outcome, late.reason) == ("Failed", REVIEW_DEADLINE_EXCEEDED)
    assert "12 answers" in late.message


def test_the_planner_wakes_at_the_deadline_of_a_review() -> None:
    run = Run(onDeadline="proceed", deadline="1h")
    run.run()
    assert run.plan(**{run.key("review"): Review(wake_at=NOW + 60)}).wake_at == NOW + 60


def test_rewinding_to_the_review_asks_again_and_repeats_what_depends_on_it() -> None:
    run = Run()
    run.run()
    before = run.key("review")
    run.reruns = rewind_counters({}, "review", calibrated=True)
    assert set(run.reruns) == {"review", "calibrate", "sft", "grpo", "evaluate", "gate", "serve"}
    assert run.key("review") != before


@pytest.mark.parametrize(
    ("settings", "now", "missing", "step"),
    [
        ({}, 10_000, 3, "wait"),
        ({}, 0, 0, "publish"),
        ({"onDeadline": "proceed"}, 0, 3, "publish"),
        ({"onDeadline": "proceed", "deadline": "1h"}, 3599, 3, "wait"),
        ({"onDeadline": "proceed", "deadline": "1h"}, 3600, 3, "publish"),
        ({"onDeadline": "fail", "deadline": "1h"}, 3600, 3, "fail"),
        ({"onDeadline": "fail", "deadline": "1h"}, 3600, 0, "publish"),
    ],
)
def test_a_review_ends_with_all_answers_or_at_its_deadline(
    settings: dict[str, str], now: float, missing: int, step: str
) -> None:
    calibrate = Calibrate.model_validate(settings)
    assert next_step(calibrate, drawn=0, missing=missing, now=now) == step


def test_a_review_that_may_fail_needs_a_deadline() -> None:
    text = """
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {name: clinic}
spec:
  dataset: {uri: logs.jsonl}
  pack: {uri: pack.yaml}
  calibrate: {onDeadline: fail}
"""
    with pytest.raises(InputError, match=r"calibrate.*deadline"):
        parse_manifest(text, where="run.yaml")


def test_the_message_says_how_many_answers_are_missing_and_how_long_they_take() -> None:
    text = waiting_message(missing=40, needed=120, remaining_seconds=720, where="`lta review clinic`")
    assert (
        text
        == "40 of 120 answers are needed before anything is trained: `lta review clinic` (about 12 minutes)"
    )
    note = second_person(8)
    assert (
        waiting_message(missing=40, needed=120, remaining_seconds=None, where="there", note=note)
        == "40 of 120 answers are needed before anything is trained, 8 of them from a second person: there"
    )
    assert waiting_message(missing=1, needed=2, remaining_seconds=None, where="there").startswith(
        "1 of 2 answers is"
    )
