"""decisions.jsonl: every decision of every policy with its truth and grades, one JSON object a line.

Comparing runs and computing the metrics anew need these lines only, never a model or a grader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from learntoask.core.answer import decision_of
from learntoask.core.records import Decision, LabelledSession, Message, Record
from learntoask.evaluation.stats.metrics import Outcome
from learntoask.grading.grades import Grade, GradeCase, Grader, Missing, stop_grade

Decoding = Literal["greedy", "sampled"]
GraderName = Literal["reporting", "rewarding"]
Contexts = Mapping[tuple[str, int], tuple[Message, ...]]
"""What was said before each decision point, by session and turn."""
_CASES_AT_ONCE = 512


class Graded(Record):
    """A grade as the grader gave it, not yet zeroed for a wrong decision; `missing` is the reason there is none."""

    content: float = 0.0
    content_any: float = 0.0
    format: float = 0.0
    asked: tuple[str, ...] = ()
    is_question: bool = False
    reason: str | None = None  # a judge's own words
    missing: str | None = None


class DecisionRow(Record):
    """One completion of one policy at one decision point.

    `turn` is an index into the session's turns, `target` the fields of the micro-goal, `seen` whether training had
    sessions of the task's group, `stop_logprob` the log-probability of the whole stop string where it was measured.
    """

    session: str
    task: str
    group: str
    seen: bool
    turn: int
    policy: str
    decoding: Decoding
    completion: int
    response: str
    finished: bool
    tokens: int
    truth: Decision
    target: tuple[str, ...]
    reporting: Graded
    rewarding: Graded
    stop_logprob: float | None = None

    @property
    def decision(self) -> Decision:
        return decision_of(self.response)

    def grade(self, grader: GraderName) -> Graded:
        return self.reporting if grader == "reporting" else self.rewarding

    def missing(self, grader: GraderName) -> str | None:
        """Why there is no grade where one is needed, which is for a question in the right place only."""
        right_question = self.truth == self.decision == "continue"
        return self.grade(grader).missing if right_question else None

    @property
    def point(self) -> tuple[str, int]:
        return self.session, self.turn


class Answered(Record):
    """A completion before it is graded: where it belongs, and what the policy said."""

    session: str
    task: str
    turn: int
    truth: Decision
    target: tuple[str, ...]
    decoding: Decoding
    completion: int
    response: str
    finished: bool
    tokens: int
    stop_logprob: float | None = None


def outcome(row: DecisionRow, grader: GraderName) -> Outcome:
    """What the metrics need of a row, by one of its two graders."""
    grade = row.grade(grader)
    return Outcome(
        session=row.session,
        truth=row.truth,
        decision=row.decision,
        content=grade.content_any,
        content_share=grade.content,
        format=grade.format,
        is_question=grade.is_question,
        missing=row.missing(grader) is not None,
    )


def targets(session: LabelledSession) -> list[tuple[str, ...]]:
    """The fields of the micro-goal of each sample, sorted."""
    return [tuple(sorted({item.field for item in sample.remaining})) for sample in session.samples]


def contexts(sessions: Iterable[LabelledSession]) -> Contexts:
    return {
        (one.session.session_id, sample.turn): one.context(sample)
        for one in sessions
        for sample in one.samples
    }


def graded(answers: Sequence[Answered], grader: Grader, before: Contexts) -> list[Graded]:
    """One grade per answer, in order. Stops are graded by rule and the grader is asked for each question once."""
    found: list[Graded | None] = [None] * len(answers)
    places: dict[GradeCase, list[int]] = {}
    for index, answer in enumerate(answers):
        if decision_of(answer.response) == "stop":
            found[index] = _graded(stop_grade(answer.response, decision=answer.truth))
            continue
        case = GradeCase(
            session_id=answer.session,
            task=answer.task,
            response=answer.response,
            target=frozenset(answer.target),
            context=before[answer.session, answer.turn],
        )
        places.setdefault(case, []).append(index)
    cases = list(places)
    for start in range(0, len(cases), _CASES_AT_ONCE):
        batch = cases[start : start + _CASES_AT_ONCE]
        for case, grade in zip(batch, grader.grade(batch), strict=True):
            for index in places[case]:
                found[index] = _graded(grade)
    return [grade for grade in found if grade is not None]


def _graded(grade: Grade | Missing) -> Graded:
    if isinstance(grade, Missing):
        return Graded(missing=grade.reason)
    return Graded(
        content=grade.content,
        content_any=grade.content_any,
        format=grade.format,
        asked=tuple(sorted(grade.asked)),
        is_question=grade.is_question,
        reason=grade.reason or None,
    )
