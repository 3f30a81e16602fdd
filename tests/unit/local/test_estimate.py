"""The estimate before a run: proportional to sessions and parameters, and silent about what it cannot tell."""

from __future__ import annotations

import pytest
from learntoask.core.manifest import RunSpec
from learntoask.core.stages.planner import Plan, StageStatus
from learntoask.local.estimate import RunSize, announcement, expected_seconds

SPEC = RunSpec.model_validate({"dataset": {"uri": "logs.jsonl"}, "pack": {"uri": "pack.yaml"}})


def test_training_takes_longer_with_more_sessions_and_parameters() -> None:
    small = expected_seconds(SPEC, RunSize(sessions=100, parameters=135e6))
    assert expected_seconds(SPEC, RunSize(sessions=1000, parameters=135e6))["sft"] > 5 * small["sft"]
    assert expected_seconds(SPEC, RunSize(sessions=100, parameters=1.35e9))["grpo"] > 5 * small["grpo"]
    assert set(small) == {"fetch", "prepare", "label", "grader", "sft", "grpo", "evaluate", "gate", "serve"}


@pytest.mark.parametrize(
    ("size", "stages"),
    [
        (RunSize(sessions=100, parameters=None), {"prepare", "label", "grader", "gate"}),
        (RunSize(sessions=0, parameters=None), {"prepare", "label", "grader", "gate"}),
    ],
)
def test_an_unknown_base_model_leaves_its_stages_out(size: RunSize, stages: set[str]) -> None:
    assert set(expected_seconds(SPEC, size)) == stages


def test_the_line_names_the_stages_to_compute_and_their_minutes() -> None:
    plan = Plan(
        outcome="Running",
        stages=(
            StageStatus(name="prepare", state="Published"),
            StageStatus(name="sft", state="Running"),
            StageStatus(name="grpo", state="Pending"),
        ),
        actions=(),
    )
    line = announcement(plan, {"prepare": 60.0, "sft": 90.0})
    assert line.startswith("Stages to compute: sft 1.5, grpo. About 1.5 min and the time of grpo (")
    assert announcement(Plan(outcome="Succeeded", stages=plan.stages[:1], actions=()), {}) == ""
