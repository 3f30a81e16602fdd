"""decisions.jsonl: every decision of every policy with its truth and both grades, one JSON object per line.

`lta compare` and the metrics need only this file, not a model or a grader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from learntoask.core.answer import decision_of
from learntoask.core.errors import InputError
from learntoask.core.json_lines import read_records
from learntoask.core.records import Decision, LabelledSession, Message, Record
from learntoask.evaluation.stats.metrics import Outcome
from learntoask.grading.grades import Grade, GradeCase, Grader, MissingGrade, stop_grade
from learntoask.labeling.repeated_questions import Repetition

Decoding = Literal["greedy", "sampled"]
GraderName = Literal["reporting", "rewarding"]
Contexts = Mapping[tuple[str, int], tuple[Message, ...]]
"""Maps (session id, turn) of a decision point to the messages before it."""
_CASES_AT_ONCE = 512


class RecordedGrade(Record):
    """A grade as the grader gave it, or `missing` with the reason why there is none.

    A wrong decision has not set it to 0 yet; the metrics do that.
    """

    content: float = 0.0
    content_any: float = 0.0
    format: float = 0.0
    asked: tuple[str, ...] = ()
    is_question: bool = False
    reason: str | None = None  # explanation by an LLM judge
    missing: str | None = None


class DecisionRecord(Record):
    """One answer of one policy at one decision point, with its grades.

    `turn` is an index into the session's turns and `target` holds the fields of the micro-goal. `seen` tells whether
    training had sessions of the task's group. `stop_logprob` is the log-probability of the whole stop string, or None
    if it was not measured. `served` is the answer that the server gives in place of a repeated question, None if it
    gives `response`. `repetition` and `served_repetition` say how these two repeat a question. `assessment` and
    `malformed` are those of `core.assessment.AssessedAnswer`, whose text is `response`.
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
    reporting: RecordedGrade
    rewarding: RecordedGrade
    stop_logprob: float | None = None
    served: str | None = None
    repetition: Repetition | None = None
    served_repetition: Repetition | None = None
    assessment: tuple[str, ...] | None = None
    malformed: bool = False

    @property
    def decision(self) -> Decision:
        return decision_of(self.response)

    def grade(self, grader: GraderName) -> RecordedGrade:
        return self.reporting if grader == "reporting" else self.rewarding

    def missing(self, grader: GraderName) -> str | None:
        """Return why a needed grade is missing, or None. Only a question where one was right needs a grade."""
        right_question = self.truth == self.decision == "continue"
        return self.grade(grader).missing if right_question else None

    @property
    def point(self) -> tuple[str, int]:
        return self.session, self.turn


class UngradedDecision(Record):
    """One answer of a policy at one decision point, before it is graded."""

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
    served: str | None = None
    assessment: tuple[str, ...] | None = None
    malformed: bool = False


def outcome(decision: DecisionRecord, grader: GraderName) -> Outcome:
    """Return the part of a decision that the metrics need, with the grade of `grader`."""
    grade = decision.grade(grader)
    return Outcome(
        session=decision.session,
        truth=decision.truth,
        decision=decision.decision,
        content=grade.content_any,
        content_share=grade.content,
        format=grade.format,
        is_question=grade.is_question,
        missing=decision.missing(grader) is not None,
    )


def targets(session: LabelledSession) -> list[tuple[str, ...]]:
    """Return the fields of each sample's micro-goal, sorted by name."""
    return [tuple(sorted({item.field for item in sample.remaining})) for sample in session.samples]


def contexts(sessions: Iterable[LabelledSession]) -> Contexts:
    return {
        (labelled.session.session_id, sample.turn): labelled.context(sample)
        for labelled in sessions
        for sample in labelled.samples
    }


def grade_decisions(
    decisions: Sequence[UngradedDecision], grader: Grader, contexts: Contexts
) -> list[RecordedGrade]:
    """Return one grade per decision, in order. A rule grades stops; the grader is asked once per distinct question."""
    grades: list[RecordedGrade | None] = [None] * len(decisions)
    places: dict[GradeCase, list[int]] = {}
    for index, decision in enumerate(decisions):
        if decision_of(decision.response) == "stop":
            grades[index] = _recorded_grade(stop_grade(decision.response, decision=decision.truth))
            continue
        case = GradeCase(
            session_id=decision.session,
            task=decision.task,
            response=decision.response,
            target=frozenset(decision.target),
            context=contexts[decision.session, decision.turn],
        )
        places.setdefault(case, []).append(index)
    cases = list(places)
    for start in range(0, len(cases), _CASES_AT_ONCE):
        batch = cases[start : start + _CASES_AT_ONCE]
        for case, grade in zip(batch, grader.grade(batch), strict=True):
            for index in places[case]:
                grades[index] = _recorded_grade(grade)
    return [grade for grade in grades if grade is not None]


def _recorded_grade(grade: Grade | MissingGrade) -> RecordedGrade:
    if isinstance(grade, MissingGrade):
        return RecordedGrade(missing=grade.reason)
    return RecordedGrade(
        content=grade.content,
        content_any=grade.content_any,
        format=grade.format,
        asked=tuple(sorted(grade.asked)),
        is_question=grade.is_question,
        reason=grade.reason or None,
    )


def read_decisions(folder: Path) -> list[DecisionRecord]:
    """Read the decisions of the evaluation in `folder`, or beside the report `folder`. Raises InputError."""
    path = (folder if folder.is_dir() else folder.parent) / "decisions.jsonl"
    decisions = list(read_records(path, DecisionRecord))
    if not decisions:
        raise InputError(f"{path} holds no decisions")
    return decisions


def truths_of(decisions: Sequence[DecisionRecord]) -> Mapping[str, set[tuple[int, str, tuple[str, ...]]]]:
    """Return turn, decision and micro-goal of the decision points of each session."""
    truths: dict[str, set[tuple[int, str, tuple[str, ...]]]] = {}
    for decision in decisions:
        truths.setdefault(decision.session, set()).add((decision.turn, decision.truth, decision.target))
    return truths


def in_sessions(decisions: Sequence[DecisionRecord], sessions: set[str]) -> list[DecisionRecord]:
    """Return the decisions in some sessions."""
    return [decision for decision in decisions if decision.session in sessions]
