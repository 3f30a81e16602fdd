"""From a grade to a reward: the four modes of docs/method.md, as one pure function."""

from __future__ import annotations

from typing import assert_never

from learntoask.core.answer import decision_of
from learntoask.core.manifest import Reward
from learntoask.core.records import Decision
from learntoask.grading.grades import REFUSED, Grade, MissingGrade, stop_grade


def reward(grade: Grade | MissingGrade, *, decision: Decision, response: str, spec: Reward) -> float | None:
    """The reward of `response` at a decision point whose truth is `decision`; None masks it out.

    None where the grade is missing, whatever the mode, and for stop samples in mode `ask_only`, which trains
    none. A response that stops is graded by rule: `grade` is not looked at, so it may be missing. With
    `ask_only` the policy was never offered a stop, so there one counts as no question.
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
    form = spec.format_weight * grade.format
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
