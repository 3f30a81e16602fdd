"""What follows from the gate GraderCalibrated."""

from __future__ import annotations

from typing import Any

import pytest
from learntoask.calibration.draw.plan import Plan
from learntoask.calibration.verdict import gate_warnings, refusal
from learntoask.core.manifest import Calibrate


def record(outcome: str, *, more: int = 0, **answers: int) -> dict[str, Any]:
    judges = {
        "labeller": {"verdict": "passed", "reason": "κ = 0.95"},
        "reporting": {"verdict": outcome, "reason": "κ = 0.41, required 0.6"},
    }
    counted = {"given": 120, "cannot_say": 3, "reserve": 300} | answers
    return {"gate": {"verdict": outcome, "more": more, "judges": judges}, "answers": counted}


def test_a_passed_gate_lets_the_run_go_on() -> None:
    assert gate_warnings(record("passed"), Calibrate()) == []
    assert refusal(record("passed"), Calibrate()) == {}


@pytest.mark.parametrize("on_deadline", ["hold", "proceed"])
def test_graders_that_people_refute_end_every_run(on_deadline: Any) -> None:
    found = refusal(record("refused"), Calibrate(on_deadline=on_deadline))
    assert (found["passed"], found["reason"]) == (False, "GraderNotCalibrated")
    assert "reporting: κ = 0.41" in str(found["message"])
    assert "labeller" not in str(found["message"])


def test_too_few_answers_end_a_run_with_the_budget_that_is_enough() -> None:
    found = refusal(record("needs_more", more=40), Calibrate(budget=120))
    assert found["passed"] is False
    assert "calibrate.budget to 230" in str(found["message"])
    before, after = (Plan.of(Calibrate(budget=budget)).counted for budget in (120, 230))
    assert after - before >= 40


@pytest.mark.parametrize(
    ("answers", "advice"),
    [
        ({"reserve": 12}, "hold 12 further questions, and about 40 are needed: use more logs"),
        ({"cannot_say": 70}, "70 of 120 answers are 'cannot say'"),
    ],
)
def test_where_a_larger_budget_does_not_help_the_run_says_what_does(
    answers: dict[str, int], advice: str
) -> None:
    message = str(refusal(record("needs_more", more=40, **answers), Calibrate())["message"])
    assert advice in message
    assert "Raise" not in message


def test_a_run_that_does_not_wait_goes_on_with_too_few_answers_and_warns() -> None:
    settings = Calibrate(on_deadline="proceed")
    assert refusal(record("needs_more", more=40), settings) == {}
    (warning,) = gate_warnings(record("needs_more", more=40), settings)
    assert "not calibrated" in warning
