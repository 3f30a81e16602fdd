"""From the checked findings of a model at each turn to the labels of the session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from learntoask.core.records import Session, UserAnswer
from learntoask.labeling.labellers.protocol import (
    Findings,
    LabelFailure,
    TurnLabel,
    fields_asked,
    micro_goals,
)
from learntoask.labeling.llm.extraction import ModelFindings
from learntoask.labeling.logs.quarantine import Reason

FindingsByTurn = Mapping[int, ModelFindings | LabelFailure]
"""By the index of the turn."""


def turns_to_ask(session: Session, *, acts: bool) -> tuple[int, ...]:
    """Return the indices of the turns to ask a model about: all except a stop that the log makes certain.

    With `acts` the model decides where the stop is. Only a turn without text is not asked about, because the log has
    nothing but an end marker there.
    """
    return tuple(
        index
        for index, turn in enumerate(session.turns)
        if index != session.stop_turn or (acts and turn.start < turn.end)
    )


def split_by_turn(
    found: ModelFindings | LabelFailure, session: Session, turns: Sequence[int]
) -> FindingsByTurn:
    """Split the findings about a whole session by turn: the exchanges from that turn on, and the act if it is there."""
    if isinstance(found, LabelFailure):
        return dict.fromkeys(turns, found)
    by_turn = {}
    for index in turns:
        turn = session.turns[index]
        acting = found.act is not None and turn.start <= found.act < turn.end
        exchanges = tuple(exchange for exchange in found.exchanges if exchange.asked >= turn.start)
        by_turn[index] = ModelFindings(exchanges, found.act if acting else None, found.attempts)
    return by_turn


def session_findings(session: Session, by_turn: FindingsByTurn, *, acts: bool) -> Findings:
    """Make the labels of all turns of a session.

    With `acts`, the stop is the first turn in which the model sees the expert act. That turn is quarantined if it
    contradicts the log's own stop, or if the expert may have acted in an earlier turn.
    """
    stop, doubt = session.stop_turn, None
    if acts:
        stop, doubt = _stop(session, by_turn)
    act = session.turns[stop].start if stop is not None else None
    turns = tuple(
        doubt if doubt is not None and index == stop else _label(session, index, by_turn, stop=stop, act=act)
        for index in range(len(session.turns))
    )
    return Findings(turns=turns, answers=_answers(by_turn, end=act), stop_turn=stop if acts else None)


def _stop(session: Session, by_turn: FindingsByTurn) -> tuple[int | None, LabelFailure | None]:
    """Return the turn of the stop and, if the stop is in doubt, the reason."""
    by_log = session.stop_turn
    acting = (
        index
        for index, findings in sorted(by_turn.items())
        if isinstance(findings, ModelFindings) and findings.act is not None
    )
    found = next(acting, None)
    if found is None:
        if by_log is not None and isinstance(by_turn.get(by_log), ModelFindings):
            problem = "the log's end marker or the pack's patterns say that the expert acts here, the model does not"
            return by_log, LabelFailure(Reason.STOP_DISAGREES, problem)
        return by_log, None
    if found and isinstance(by_turn.get(found - 1), LabelFailure):
        problem = "the turn before could not be labelled, so the expert may have acted there already"
        return found, LabelFailure(Reason.STOP_DISAGREES, problem)
    return found, None


def _label(
    session: Session, index: int, by_turn: FindingsByTurn, *, stop: int | None, act: int | None
) -> TurnLabel | LabelFailure:
    findings = by_turn.get(index)
    if isinstance(findings, LabelFailure):
        return findings
    if findings is None or index == stop:
        return TurnLabel((), (), attempts=findings.attempts if findings else 1)
    turn = session.turns[index]
    by_expert = [
        exchange for exchange in findings.exchanges if session.messages[exchange.asked].author == "expert"
    ]
    return TurnLabel(
        requested=fields_asked(by_expert, turn.start, turn.end),
        remaining=micro_goals(by_expert, starts=[turn.start], stop=act)[0],
        attempts=findings.attempts,
    )


def _answers(by_turn: FindingsByTurn, *, end: int | None) -> tuple[UserAnswer, ...]:
    """Return every value with the message that gives it, up to the act at message `end`; the rest is small talk."""
    given: dict[tuple[int, str], str] = {}
    for _, findings in sorted(by_turn.items()):
        for exchange in findings.exchanges if isinstance(findings, ModelFindings) else ():
            if exchange.value is None or exchange.answered is None:
                continue
            if end is None or exchange.answered < end:
                given.setdefault((exchange.answered, exchange.field), exchange.value)
    return tuple(
        UserAnswer(field=field, value=value, message=at) for (at, field), value in sorted(given.items())
    )
