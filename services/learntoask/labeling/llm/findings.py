"""From what a model read at each turn of a session to the session's findings."""

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
    """The turns that a model is asked about: all but a stop that is certain without it.

    With `acts` the model says where the stop is; only a turn without a word is left to the log, whose end marker it is.
    """
    return tuple(
        index
        for index, turn in enumerate(session.turns)
        if index != session.stop_turn or (acts and turn.start < turn.end)
    )


def split_by_turn(
    found: ModelFindings | LabelFailure, session: Session, turns: Sequence[int]
) -> FindingsByTurn:
    """What was read of the whole session, as each turn's own: its observed future, and the act if it is there."""
    if isinstance(found, LabelFailure):
        return dict.fromkeys(turns, found)
    readings = {}
    for index in turns:
        turn = session.turns[index]
        acting = found.act is not None and turn.start <= found.act < turn.end
        exchanges = tuple(one for one in found.exchanges if one.asked >= turn.start)
        readings[index] = ModelFindings(exchanges, found.act if acting else None, found.attempts)
    return readings


def session_findings(session: Session, readings: FindingsByTurn, *, acts: bool) -> Findings:
    """Labels of all turns. With `acts` the first turn in which the model sees the expert act is the stop; where it
    contradicts the log's own, or may have missed an earlier one, that turn is quarantined."""
    stop, doubt = session.stop_turn, None
    if acts:
        stop, doubt = _stop(session, readings)
    act = session.turns[stop].start if stop is not None else None
    turns = tuple(
        doubt if doubt is not None and index == stop else _label(session, index, readings, stop=stop, act=act)
        for index in range(len(session.turns))
    )
    return Findings(turns=turns, answers=_answers(readings, end=act), stop_turn=stop if acts else None)


def _stop(session: Session, readings: FindingsByTurn) -> tuple[int | None, LabelFailure | None]:
    """The turn of the stop, and why it cannot be trusted if it cannot."""
    by_log = session.stop_turn
    acting = (
        i for i, one in sorted(readings.items()) if isinstance(one, ModelFindings) and one.act is not None
    )
    found = next(acting, None)
    if found is None:
        if by_log is not None and isinstance(readings.get(by_log), ModelFindings):
            problem = "the log's end marker or the pack's patterns say that the expert acts here, the model does not"
            return by_log, LabelFailure(Reason.STOP_DISAGREES, problem)
        return by_log, None
    if found and isinstance(readings.get(found - 1), LabelFailure):
        problem = "the turn before could not be labelled, so the expert may have acted there already"
        return found, LabelFailure(Reason.STOP_DISAGREES, problem)
    return found, None


def _label(
    session: Session, index: int, readings: FindingsByTurn, *, stop: int | None, act: int | None
) -> TurnLabel | LabelFailure:
    reading = readings.get(index)
    if isinstance(reading, LabelFailure):
        return reading
    if reading is None or index == stop:
        return TurnLabel((), (), attempts=reading.attempts if reading else 1)
    turn = session.turns[index]
    by_expert = [one for one in reading.exchanges if session.messages[one.asked].author == "expert"]
    return TurnLabel(
        requested=fields_asked(by_expert, turn.start, turn.end),
        remaining=micro_goals(by_expert, starts=[turn.start], stop=act)[0],
        attempts=reading.attempts,
    )


def _answers(readings: FindingsByTurn, *, end: int | None) -> tuple[UserAnswer, ...]:
    """Every value with the message that gives it, up to the act at message `end`; what comes after is small talk."""
    given: dict[tuple[int, str], str] = {}
    for _, reading in sorted(readings.items()):
        for one in reading.exchanges if isinstance(reading, ModelFindings) else ():
            if one.value is not None and one.answered is not None and (end is None or one.answered < end):
                given.setdefault((one.answered, one.field), one.value)
    return tuple(
        UserAnswer(field=field, value=value, message=at) for (at, field), value in sorted(given.items())
    )
