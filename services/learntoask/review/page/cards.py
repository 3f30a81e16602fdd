"""What a person sees of an item, as plain data for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from learntoask.review.choice_order import ordered_choices
from learntoask.review.page.reveal import OtherAnswer, Reveal, reveal
from learntoask.review.page.visible import Piece, pieces
from learntoask.review.records import CANNOT_SAY, Answer, Choice, Kind, ReviewItem

_DIGITS = "123456789"
_LETTERS = "abdefhijklmopqrtvwxz"  # those that mean nothing else on the page
_WORDS = {"yes": "y", "no": "n"}
_NONE: Answer = ()
_SHORT = 60  # characters of a choice that fits into the bar at the foot of the page


class Line(NamedTuple):
    """A message. `marked` is true for those that the question is about.

    `silent` says what a message without text is: where the expert's end without words, that is an act.
    """

    side: str  # user or expert
    pieces: tuple[Piece, ...]
    marked: bool
    silent: Literal["", "acts", "empty"] = ""


class Key(NamedTuple):
    """A choice with the keys that press it, the first of which is shown."""

    value: str
    text: tuple[Piece, ...]
    description: tuple[Piece, ...]
    presses: tuple[str, ...]
    chosen: bool


class Card(NamedTuple):
    """A question. `gap` is the place among the lines where a turn without a message, or a hidden one, is marked.

    `to_end` says that the question is about everything from the first marked message on.
    `in_bar` says that the choices are few and short, so that they stand in the bar at the foot of the page.
    """

    item: str
    kind: Kind
    task: str
    question: tuple[Piece, ...]
    lines: tuple[Line, ...]
    gap: int | None
    to_end: bool
    hides: bool
    keys: tuple[Key, ...]
    several: bool
    in_bar: bool
    none_chosen: bool
    cannot_say_chosen: bool
    commented: bool
    reveal: Reveal | None


def card(item: ReviewItem, digest: str, reviewer: str, *, commented: bool = False) -> Card:
    """Return the card of an item, named by its digest, as `reviewer` sees it before the answer."""
    return _card(item, digest, reviewer, None, None, commented=commented)


def revealed_card(
    item: ReviewItem,
    digest: str,
    reviewer: str,
    answer: Answer,
    *,
    others: Sequence[OtherAnswer] = (),
    commented: bool = False,
) -> Card:
    """Return the card of an item that `reviewer` has answered, with the votes of machines and, if given, people."""
    return _card(item, digest, reviewer, answer, reveal(item, answer, others), commented=commented)


def _card(
    item: ReviewItem,
    digest: str,
    reviewer: str,
    chosen: Answer | None,
    shown: Reveal | None,
    *,
    commented: bool,
) -> Card:
    in_order = ordered_choices(item, reviewer)
    keys = tuple(
        Key(
            value=choice.key,
            text=pieces(choice.text),
            description=pieces(choice.description),
            presses=_presses(number, choice, several=item.several),
            chosen=chosen is not None and choice.key in chosen,
        )
        for number, choice in enumerate(in_order)
    )
    hides = shown is None and item.kind == "is_stop"
    return Card(
        item=digest,
        kind=item.kind,
        task=item.task,
        question=pieces(item.question),
        lines=_lines(item, item.shown if hides else len(item.messages)),
        gap=item.start if hides or item.start == item.end else None,
        to_end=item.kind == "still_needed",
        hides=hides,
        keys=keys,
        several=item.several,
        in_bar=not item.several
        and len(keys) == 2
        and all(len(choice.text) + len(choice.description) <= _SHORT for choice in item.choices),
        none_chosen=chosen == _NONE and item.several,
        cannot_say_chosen=chosen == CANNOT_SAY,
        commented=commented,
        reveal=shown,
    )


def _lines(item: ReviewItem, shown: int) -> tuple[Line, ...]:
    end = len(item.messages) if item.kind == "still_needed" else item.end
    spoken = [index for index, message in enumerate(item.messages) if message.content.strip()]
    return tuple(
        Line(
            side="expert" if message.role == "assistant" else "user",
            pieces=pieces(message.content),
            marked=item.start <= index < end,
            silent=""
            if message.content.strip()
            else "acts"
            if message.role == "assistant" and (not spoken or index > spoken[-1])
            else "empty",
        )
        for index, message in enumerate(item.messages[:shown])
    )


def _presses(number: int, choice: Choice, *, several: bool) -> tuple[str, ...]:
    keys = _DIGITS + _LETTERS
    shown = keys[number : number + 1]
    word = "" if several else _WORDS.get(choice.key.lower(), "")
    return tuple(key for key in (word, shown) if key)
