"""Labeller `annotated`: read the structured items that the log itself carries, as forms and CRMs write them.

The items are in the session's key `annotations`, of which only `turns` is required:

    {"turns": [{"msg": 1,                       index of the expert turn's first message
                "requested": [{"item": "city", "value": "Rome", "answer_msg": 2}],
                "remaining": [{"item": "city", "value": "Rome"}],
                "remaining_volunteered": [{"item": "date", "value": "Friday"}]}],
     "known_at_start": [{"item": "people", "value": "2"}],
     "stop_msg": 5}

`remaining` is the micro-goal; without it, the micro-goal follows from `requested`. The user never gave a requested item
that has no `answer_msg`. A value that is true, false or a number is taken as its text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from learntoask.core.pack import Pack
from learntoask.core.records import Item, Provenance, Session, UserAnswer
from learntoask.core.text.characters import plain_text
from learntoask.labeling.labellers.protocol import Exchange, Findings, LabelFailure, TurnLabel, micro_goals
from learntoask.labeling.logs.quarantine import Reason

ANNOTATIONS = "annotations"


class AnnotatedLabeller:
    """See Labeller."""

    provenance = Provenance(labeller="annotated")

    def __init__(self, pack: Pack, *, unknown_items: Literal["error", "ignore"] = "error") -> None:
        self._fields = {task.name: task.field_names for task in pack.tasks}
        self._ignore_unknown = unknown_items == "ignore"

    def label(self, session: Session) -> Findings:
        notes = session.extras.get(ANNOTATIONS)
        listed = notes.get("turns") if isinstance(notes, dict) else None
        if not isinstance(notes, dict) or not isinstance(listed, list):
            problem = f"{ANNOTATIONS}.turns is not a list; write it, or choose another label.method"
            return Findings(turns=(LabelFailure(Reason.NO_ANNOTATIONS, problem),) * len(session.turns))
        reader = _Reader(session, self._fields[session.task], ignore_unknown=self._ignore_unknown)
        turn_notes = reader.turns(listed)
        stop = _stop(session, notes.get("stop_msg"))
        where = stop if isinstance(stop, int) else session.stop_turn
        act = session.turns[where].start if where is not None else None
        turns = [
            _label(turn_notes, session, start=turn.start, act=act)
            if turn.start in turn_notes
            else LabelFailure(
                Reason.NO_ANNOTATIONS, f"{ANNOTATIONS}.turns has no entry with msg {turn.start}"
            )
            for turn in session.turns
        ]
        if where is not None:
            turns[where] = stop if isinstance(stop, LabelFailure) else TurnLabel((), ())
        return Findings(
            turns=tuple(turns),
            answers=_answers(turn_notes, session, reader.valid_items(notes.get("known_at_start"))),
            stop_turn=stop if isinstance(stop, int) else None,
            unknown_items=tuple(reader.unknown),
        )


@dataclass(frozen=True, slots=True)
class _TurnNote:
    """One checked entry of `annotations.turns`. A missing key is None."""

    requested: tuple[Exchange, ...] | None
    remaining: tuple[Item, ...] | None
    volunteered: tuple[Item, ...]


_TurnNotes = dict[int, "_TurnNote | LabelFailure"]


class _WrongAnnotation(Exception):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.failure = LabelFailure(reason, message)


@dataclass(frozen=True, slots=True)
class _Reader:
    session: Session
    fields: frozenset[str]
    ignore_unknown: bool
    unknown: list[str] = field(default_factory=list)  # every mention of an item that the pack does not list

    def turns(self, listed: Sequence[Any]) -> _TurnNotes:
        """Return the checked entries by the index of their message."""
        notes: _TurnNotes = {}
        for index, entry in enumerate(listed):
            message = entry.get("msg") if isinstance(entry, dict) else None
            if isinstance(message, int) and 0 <= message < len(self.session.messages):
                notes[message] = self._turn(entry, message, f"{ANNOTATIONS}.turns[{index}]")
        return notes

    def _turn(self, entry: dict[str, Any], message: int, where: str) -> _TurnNote | LabelFailure:
        try:
            requested = entry.get("requested")
            remaining = entry.get("remaining")
            if requested is None and remaining is None:
                raise _WrongAnnotation(Reason.WRONG_ANNOTATION, f"{where}: give requested, remaining or both")
            return _TurnNote(
                requested=None
                if requested is None
                else tuple(
                    self._exchange(item, message, at)
                    for item, at in self._known(requested, f"{where}.requested")
                ),
                remaining=None
                if remaining is None
                else tuple(self._item(item, at) for item, at in self._known(remaining, f"{where}.remaining")),
                volunteered=self.valid_items(entry.get("remaining_volunteered")),
            )
        except _WrongAnnotation as wrong:
            return wrong.failure

    def _known(self, listed: object, where: str) -> Iterator[tuple[object, str]]:
        """Yield the entries with their paths. Items that the pack does not list are counted, and may be left out."""
        for entry, at in _each(listed, where):
            name = entry.get("item") if isinstance(entry, dict) else None
            if isinstance(name, str) and name not in self.fields:
                self.unknown.append(name[:100])
                if self.ignore_unknown:
                    continue
            yield entry, at

    def valid_items(self, listed: object) -> tuple[Item, ...]:
        """Return the valid items. Only session replay uses them and no label depends on them, so others are skipped."""
        found = []
        for entry in listed if isinstance(listed, list) else ():
            try:
                found.append(self._item(entry, ""))
            except _WrongAnnotation:
                continue
        return tuple(found)

    def _item(self, entry: object, where: str) -> Item:
        name, value = self._field(entry, where), entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, str | int | float):
            raise _WrongAnnotation(
                Reason.WRONG_ANNOTATION, f"{where}.value: write what the user gave, as a string"
            )
        return Item(field=name, value=value if isinstance(value, str) else json.dumps(value))

    def _field(self, entry: object, where: str) -> str:
        name = entry.get("item") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise _WrongAnnotation(Reason.WRONG_ANNOTATION, f"{where}.item: write the name of a field")
        if name not in self.fields:
            known = ", ".join(sorted(self.fields)[:8])
            problem = (
                f"{where}.item: task {self.session.task!r} has no field {name!r:.100} (it has: {known}); "
                "add the field to the pack, or set label.unknownItems: ignore"
            )
            raise _WrongAnnotation(Reason.UNKNOWN_FIELD, problem)
        return name

    def _exchange(self, entry: object, message: int, where: str) -> Exchange:
        answered = entry.get("answer_msg") if isinstance(entry, dict) else None
        if answered is None:
            return Exchange(field=self._field(entry, where), asked=message)
        messages = self.session.messages
        inside = isinstance(answered, int) and message < answered < len(messages)
        if not inside or messages[answered].role != "user":
            problem = f"{where}.answer_msg: {answered!r:.40} is not a user message after message {message}"
            raise _WrongAnnotation(Reason.WRONG_ANNOTATION, problem)
        item = self._item(entry, where)
        return Exchange(field=item.field, asked=message, value=item.value, answered=answered)


def _each(listed: object, where: str) -> Iterator[tuple[object, str]]:
    if not isinstance(listed, list):
        raise _WrongAnnotation(Reason.WRONG_ANNOTATION, f"{where}: this is not a list")
    return ((entry, f"{where}[{index}]") for index, entry in enumerate(listed))


def _stop(session: Session, message: object) -> int | LabelFailure | None:
    """Return the index of the turn that holds the annotated stop; None when the annotation names no stop."""
    if message is None:
        return None
    for index, turn in enumerate(session.turns):
        if isinstance(message, int) and turn.start <= message < max(turn.end, turn.start + 1):
            return index
    problem = f"{ANNOTATIONS}.stop_msg: {message!r:.40} is in no expert turn up to the log's own stop"
    return LabelFailure(Reason.STOP_DISAGREES, problem)


def _label(notes: _TurnNotes, session: Session, *, start: int, act: int | None) -> TurnLabel | LabelFailure:
    here = notes[start]
    if isinstance(here, LabelFailure):
        return here
    later = [entry for message, entry in notes.items() if message >= start]
    complete = all(isinstance(entry, _TurnNote) and entry.requested is not None for entry in later)
    exchanges = [
        exchange for entry in later if isinstance(entry, _TurnNote) for exchange in entry.requested or ()
    ]
    by_expert = [exchange for exchange in exchanges if session.messages[exchange.asked].author == "expert"]
    asked = tuple(dict.fromkeys(exchange.field for exchange in here.requested or ()))
    if here.remaining is None:
        if not complete:
            problem = f"turn at message {start}: remaining is missing, and a later turn's requested is missing or wrong"
            return LabelFailure(Reason.WRONG_ANNOTATION, problem)
        return TurnLabel(asked, micro_goals(by_expert, starts=[start], stop=act)[0])
    if not complete:
        return TurnLabel(asked, here.remaining)
    unasked = {item.field for item in here.remaining} - {exchange.field for exchange in exchanges}
    if unasked:
        problem = (
            f"turn at message {start}: remaining holds {sorted(unasked)}, which no turn from here on requests"
        )
        return LabelFailure(Reason.WRONG_ANNOTATION, problem)
    # Fields that only a policy asks for, or that are asked for after the act, are not part of the expert's goal.
    wanted = {exchange.field for exchange in by_expert if act is None or exchange.asked < act}
    return TurnLabel(asked, tuple(item for item in here.remaining if item.field in wanted))


def _answers(notes: _TurnNotes, session: Session, known: Sequence[Item]) -> tuple[UserAnswer, ...]:
    """Return every value with the message that gives it: requested, known at the start, and volunteered."""
    given: dict[tuple[str, int | None], str | None] = {
        (exchange.field, exchange.answered): exchange.value
        for entry in notes.values()
        if isinstance(entry, _TurnNote)
        for exchange in entry.requested or ()
        if exchange.answered is not None
    }
    first = session.turns[0].start
    for item in known:
        given.setdefault((item.field, _giving_message(session, item.value, 0, first)), item.value)
    starts = sorted(notes)
    for start, following in pairwise([*starts, len(session.messages)]):
        entry, after = notes[start], notes.get(following)
        if not isinstance(entry, _TurnNote):
            continue
        left = {item.field for item in after.volunteered} if isinstance(after, _TurnNote) else set()
        for item in entry.volunteered:
            if item.field not in left:
                given.setdefault(
                    (item.field, _giving_message(session, item.value, start, following)), item.value
                )
    return tuple(
        UserAnswer(field=field, value=value or "", message=message)
        for (field, message), value in sorted(
            given.items(), key=lambda entry: (entry[0][1] or 0, entry[0][0])
        )
        if message is not None
    )


def _giving_message(session: Session, value: str, start: int, end: int) -> int | None:
    """Return the index of the user message in [start, end) that holds the value, or else of the first one there."""
    users = [i for i in range(start, min(end, len(session.messages))) if session.messages[i].role == "user"]
    holding = (i for i in users if _folded(value) in _folded(session.messages[i].content))
    return next(holding, users[0] if users else None)


def _folded(text: str) -> str:
    return plain_text(text).casefold()
