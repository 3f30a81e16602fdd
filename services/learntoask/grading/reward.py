"""From a grade to a reward: one pure function with the four modes of docs/method.md."""

from __future__ import annotations

from typing import assert_never

from learntoask.core.answer import decision_of
from learntoask.core.manifest import Reward
from learntoask.core.records import Decision
from learntoask.grading.grades import REFUSED, Grade, MissingGrade, stop_grade


def reward(
    grade: Grade | MissingGrade,
    *,
    decision: Decision,
    response: str,
    spec: Reward,
    assessment_f1: float = 0.0,
) -> float | None:
    """Return the reward of `response` at a decision point whose truth is `decision`; None masks the sample out.

    The reward is None if the grade is missing, and for stop samples in mode `ask_only`, which does not train them. A
    response that stops is graded by rule, so its `grade` may be missing. In mode `ask_only` the policy is not offered a
    stop, so a response that stops counts as no question. `assessment_f1` is the F1 score of the policy's assessment.
    """
    stops = decision_of(response) == "stop"
    if spec.mode == "ask_only" and decision == "stop":
        return None
    if stops:
        grade = REFUSED if spec.mode == "ask_only" else stop_grade(response, decision=decision)
    if isinstance(grade, MissingGrade):
        return None
    right = 1.0 if decision_of(response) == decision else 0.0
    content = spec.content_weight * grade.content
    form = spec.format_weight * grade.format + spec.assessment_weight * assessment_f1
    match spec.mode:
        case "product":
            return right * (1.0 + content + form)
        case "sum":
            return right + content + form
        case "ask_only":
            return content + form
        case "stop_only":
            return right * (1.0 + spec.content_weight + form)
        case _:
            assert_never(spec.mode)
