"""Count the questions that repeat, as the policy drafts them and as the server puts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learntoask.core.answer import decision_of
from learntoask.evaluation.decisions import Contexts, DecisionRecord, UngradedDecision
from learntoask.evaluation.report_schema import Metrics
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


def repetitions_of(
    decisions: Sequence[UngradedDecision], reader: RepeatReader, contexts: Contexts
) -> list[tuple[Repetition | None, Repetition | None]]:
    """Return how the policy's answer and the served one repeat a question, for every decision."""
    found = []
    for decision in decisions:
        read = reader.read(decision.task, contexts[decision.session, decision.turn])
        drafted = repetition_of(read, decision.response)
        served = drafted if decision.served is None else repetition_of(read, decision.served)
        found.append((drafted, served))
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
