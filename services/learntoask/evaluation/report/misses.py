"""The worst decisions of a policy, picked so that a reader sees every kind of mistake and not one kind ten times."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from learntoask.core.prompt import conversation
from learntoask.core.records import LabelledSession
from learntoask.evaluation.decisions import DecisionRow
from learntoask.evaluation.report_schema import Miss

STOPPED_EARLY = "stopped too early"
WENT_ON = "did not stop"
NO_QUESTION = "neither a question nor a stop"
OFF_TARGET = "asked for nothing that was needed"
SEVERAL = "asked for several things at once"
_CONTEXT_TURNS = 4
_LONGEST_TEXT = 600  # characters of one message that a reader is shown


def worst(
    rows: Sequence[DecisionRow], sessions: Mapping[str, LabelledSession], *, at_most: int = 12
) -> list[Miss]:
    """Up to `at_most` misses, taken in turn from every kind; within a kind the ones that cost most come first."""
    kinds: dict[str, list[DecisionRow]] = {}
    for row in rows:
        kind = kind_of(row)
        if kind:
            kinds.setdefault(kind, []).append(row)
    order = (STOPPED_EARLY, WENT_ON, NO_QUESTION, OFF_TARGET, SEVERAL)
    ranked = [sorted(kinds.get(kind, []), key=_rank) for kind in order]
    picked = [row for layer in zip_longest(*ranked) for row in layer if row is not None][:at_most]
    return [
        _miss(row, sessions[row.session]) for row in sorted(picked, key=lambda row: order.index(kind_of(row)))
    ]


def kind_of(row: DecisionRow) -> str:
    """What is wrong with a decision; empty where nothing is, or where the grade is missing."""
    grade = row.reporting
    if row.decision == "stop":
        return STOPPED_EARLY if row.truth == "continue" else ""
    if row.truth == "stop":
        return WENT_ON
    if grade.missing is not None:
        return ""
    if not grade.is_question:
        return NO_QUESTION
    if grade.content_any == 0:
        return OFF_TARGET
    return SEVERAL if grade.format == 0 else ""


def _rank(row: DecisionRow) -> tuple[int, str]:
    """Most left to ask first; ties in an order that has nothing to do with the logs'."""
    return -len(row.target), hashlib.sha256(f"{row.session}/{row.turn}".encode()).hexdigest()


def _miss(row: DecisionRow, labelled: LabelledSession) -> Miss:
    session = labelled.session
    sample = next(sample for sample in labelled.samples if sample.turn == row.turn)
    context = conversation(session.messages[: session.turns[row.turn].start])
    return Miss(
        kind=kind_of(row),
        session=row.session,
        task=row.task,
        turn=row.turn,
        context=[(turn["role"], _short(turn["content"])) for turn in context[-_CONTEXT_TURNS:]],
        response=_short(row.response),
        truth=row.truth,
        target=[f"{item.field}: {_short(item.value)}" for item in sample.remaining],
        asked=list(row.reporting.asked),
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
