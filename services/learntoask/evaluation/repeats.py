"""Count the questions that repeat, as the policy drafts them and as the server puts them.

A question that the server's rule does not refuse also counts as one for known fields if it asks, by the reporting
grader, only for fields that the user of the log has given and that are not needed again. Packs without patterns, such
as those of annotated logs, have no other way to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learntoask.core.answer import decision_of
from learntoask.core.records import LabelledSession
from learntoask.evaluation.decisions import (
    Contexts,
    DecisionRecord,
    RecordedGrade,
    UngradedDecision,
    grade_decisions,
)
from learntoask.evaluation.report_schema import Metrics
from learntoask.grading.grades import Grader
from learntoask.labeling.repeated_questions import ReadConversation, RepeatReader, Repetition
from learntoask.statistics.bootstrap import Floats, mean_estimates


@dataclass(frozen=True)
class PutQuestion:
    """How one answer repeats a question, None if it does not; `session` is the row to which it is counted."""

    session: int
    served: bool
    repetition: Repetition | None


def repetition_of(read: ReadConversation, answer: str) -> Repetition | None:
    """Return how an answer repeats a question of a conversation; None for a stop and for a new question."""
    return None if decision_of(answer) == "stop" else read.repetition(answer)


def counted_repetition(
    read: ReadConversation, answer: str, *, asked: frozenset[str], known: frozenset[str]
) -> Repetition | None:
    """Return how an answer repeats a question, given the fields that it asks for and those that need no question."""
    return repetition_of(read, answer) or ("known-field" if asked and asked <= known else None)


def repetitions_of(
    decisions: Sequence[UngradedDecision],
    grades: Sequence[RecordedGrade],
    *,
    sessions: Sequence[LabelledSession],
    contexts: Contexts,
    reader: RepeatReader,
    grader: Grader,
) -> list[tuple[Repetition | None, Repetition | None]]:
    """Return how the policy's answer and the served one repeat a question, for every decision.

    `grades` are those of the policy's answers by `grader`, which also grades what is served in their place.
    """
    by_id = {one.session.session_id: one for one in sessions}
    replaced = [index for index, decision in enumerate(decisions) if decision.served is not None]
    served = [decisions[index].model_copy(update={"response": decisions[index].served}) for index in replaced]
    served_grades = dict(zip(replaced, grade_decisions(served, grader, contexts), strict=True))
    found = []
    for index, (decision, grade) in enumerate(zip(decisions, grades, strict=True)):
        read = reader.read(decision.task, contexts[decision.session, decision.turn])
        known = by_id[decision.session].given_before(decision.turn) - set(decision.target)
        drafted, put = (
            counted_repetition(read, text, asked=frozenset(of_text.asked), known=known)
            for text, of_text in (
                (decision.response, grade),
                (decision.served or decision.response, served_grades.get(index, grade)),
            )
        )
        found.append((drafted, put))
    return found


def repeats_of_decisions(decisions: Sequence[DecisionRecord], *, resamples: int, seed: int) -> Metrics:
    """Compute the shares of repeated questions at held-out decision points."""
    rows = {session: row for row, session in enumerate(sorted({one.session for one in decisions}))}
    put = []
    for decision in decisions:
        row, served = rows[decision.session], decision.served or decision.response
        if decision.decision == "continue":
            put.append(PutQuestion(row, False, decision.repetition))
        if decision_of(served) == "continue":
            put.append(PutQuestion(row, True, decision.served_repetition))
    return repeat_shares(put, sessions=len(rows), resamples=resamples, seed=seed)


def repeat_shares(put: Sequence[PutQuestion], *, sessions: int, resamples: int, seed: int) -> Metrics:
    """Compute the shares of the questions `put` that repeat, with intervals that resample `sessions` sessions."""
    columns: dict[str, tuple[Floats, Floats]] = {}
    for served, ending in ((False, ""), (True, "-served")):
        questions = np.zeros(sessions)
        repeated = {"same-text": np.zeros(sessions), "known-field": np.zeros(sessions)}
        for question in put:
            if question.served == served:
                questions[question.session] += 1
                if question.repetition is not None:
                    repeated[question.repetition][question.session] += 1
        columns |= {f"{name}{ending}": (count, questions) for name, count in repeated.items()}
    return mean_estimates(columns, resamples=resamples, seed=seed)
