"""Select the worst decisions of a policy so that a reader sees every kind of mistake."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from learntoask.core.prompt import conversation
from learntoask.core.records import LabelledSession
from learntoask.evaluation.decisions import DecisionRecord
from learntoask.evaluation.report_schema import Miss

STOPPED_EARLY = "stopped too early"
WENT_ON = "did not stop"
NO_QUESTION = "neither a question nor a stop"
OFF_TARGET = "asked for nothing that was needed"
SEVERAL = "asked for several things at once"
_CONTEXT_TURNS = 4
_LONGEST_TEXT = 600  # characters shown of one message


def worst_misses(
    decisions: Sequence[DecisionRecord], sessions: Mapping[str, LabelledSession], *, at_most: int = 12
) -> list[Miss]:
    """Return up to `at_most` misses, taken in turn from every kind, those with the most items left to ask first."""
    kinds: dict[str, list[DecisionRecord]] = {}
    for decision in decisions:
        kind = kind_of(decision)
        if kind:
            kinds.setdefault(kind, []).append(decision)
    order = (STOPPED_EARLY, WENT_ON, NO_QUESTION, OFF_TARGET, SEVERAL)
    ranked = [sorted(kinds.get(kind, []), key=_rank) for kind in order]
    picked = [decision for layer in zip_longest(*ranked) for decision in layer if decision is not None][
        :at_most
    ]
    return [
        _miss(decision, sessions[decision.session])
        for decision in sorted(picked, key=lambda decision: order.index(kind_of(decision)))
    ]


def kind_of(decision: DecisionRecord) -> str:
    """Return the kind of mistake of a decision; empty for a good decision and for a missing grade."""
    grade = decision.reporting
    if decision.decision == "stop":
        return STOPPED_EARLY if decision.truth == "continue" else ""
    if decision.truth == "stop":
        return WENT_ON
    if grade.missing is not None:
        return ""
    if not grade.is_question:
        return NO_QUESTION
    if grade.content_any == 0:
        return OFF_TARGET
    return SEVERAL if grade.format == 0 else ""


def _rank(decision: DecisionRecord) -> tuple[int, str]:
    """Rank decisions with the most items left to ask first; a digest breaks ties independently of the logs' order."""
    return -len(decision.target), hashlib.sha256(f"{decision.session}/{decision.turn}".encode()).hexdigest()


def _miss(decision: DecisionRecord, labelled: LabelledSession) -> Miss:
    session = labelled.session
    sample = next(sample for sample in labelled.samples if sample.turn == decision.turn)
    context = conversation(session.messages[: session.turns[decision.turn].start])
    return Miss(
        kind=kind_of(decision),
        session=decision.session,
        task=decision.task,
        turn=decision.turn,
        context=[(turn["role"], _short(turn["content"])) for turn in context[-_CONTEXT_TURNS:]],
        response=_short(decision.response),
        truth=decision.truth,
        target=[f"{item.field}: {_short(item.value)}" for item in sample.remaining],
        asked=list(decision.reporting.asked),
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
