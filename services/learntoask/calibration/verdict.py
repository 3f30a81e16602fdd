"""What follows from the gate GraderCalibrated: whether the run goes on, and what its report warns of. Pure.

Labels or graders that people refute end every run. With too few answers a run only goes on with `onDeadline: proceed`,
and its report says so. `record` is the content of calibration.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from learntoask.calibration.draw.plan import Plan
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.status.conditions import GRADER_NOT_CALIBRATED

CALIBRATION_FILE = "calibration.json"
"""The record that the verdict rests on."""


def gate_warnings(record: Mapping[str, Any], settings: Calibrate) -> list[str]:
    """Return what the report of a run that goes on has to say about its gate."""
    undecided = record["gate"]["verdict"] == "needs_more"
    return [_message(record["gate"])] if undecided and settings.on_deadline == "proceed" else []


def refusal(record: Mapping[str, Any], settings: Calibrate) -> dict[str, JsonValue]:
    """Return `passed: false` with reason and message if the run must not go on, otherwise nothing."""
    gate = record["gate"]
    if gate["verdict"] == "passed" or gate_warnings(record, settings):
        return {}
    if gate["verdict"] == "refused":
        advice = "Correct the pack (revised.yaml holds what the answers suggest), or lower calibrate.minKappa"
    else:
        advice = _advice(record["answers"], settings, more=max(1, int(gate["more"])))
    return {"passed": False, "reason": GRADER_NOT_CALIBRATED, "message": f"{_message(gate)}. {advice}"}


def _advice(answers: Mapping[str, int], settings: Calibrate, *, more: int) -> str:
    """Return what to do where the gate needs `more` answers."""
    if 2 * answers["cannot_say"] > answers["given"]:
        return (
            f"{answers['cannot_say']} of {answers['given']} answers are 'cannot say': say in the descriptions of the "
            "pack's fields what asking for them means"
        )
    if answers["reserve"] < more:
        return (
            f"The test sessions hold {answers['reserve']} further questions, and about {more} are needed: use more "
            "logs, or lower calibrate.minKappa or calibrate.minAnswers"
        )
    budget = Plan.budget_for(settings, more)
    return f"Raise calibrate.budget to {budget} and run again: the answers that were given count again"


def _message(gate: Mapping[str, Any]) -> str:
    found = [
        f"{name}: {judge['reason']}" for name, judge in gate["judges"].items() if judge["verdict"] != "passed"
    ]
    return f"labels and graders are not calibrated; {'; '.join(found)}"
