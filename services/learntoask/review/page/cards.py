"""What a person sees of an item, as plain data for the templates: a question before the answer, and what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from learntoask.review.choice_order import ordered_choices
from learntoask.review.page.visible import Piece, pieces
from learntoask.review.records import CANNOT_SAY, Answer, Choice, ReviewItem

_DIGITS = "123456789"
_LETTERS = "abdefhijklmopqrtvwxz"  # those that mean nothing else on the page
_WORDS = {"yes": "y", "no": "n"}
_NONE: Answer = ()
_ENDS = "(ends the conversation)"
_EMPTY = "(no text)"
_LONGEST_TURN = 160  # characters of the turn that the strip above the next question quotes
_SHORT = 60  # characters of a choice that fits into the bar at the foot of the page


class Line(NamedTuple):
    """A message. `marked` is true for those that the question is about; `note` stands for a message without text."""

    side: str  # user or expert
    pieces: tuple[Piece, ...]
    marked: bool
    note: str = ""


class Key(NamedTuple):
    """A choice with the keys that press it, the first of which is shown."""

    value: str
    text: tuple[Piece, ...]
    description: tuple[Piece, ...]
    presses: tuple[str, ...]
    chosen: bool


class Opinion(NamedTuple):
    """An answer of somebody else than the reviewer, with its reason."""

    who: str
    answer: str
    reason: tuple[Piece, ...]
    same: bool


class Reveal(NamedTuple):
    """What a person sees only after the answer."""

    answer: str
    opinions: tuple[Opinion, ...]
    why: str
    expected: str | None  # the right answer of a known item
    right: bool
    happened: tuple[Piece, ...]  # what the expert did in the log, where that was hidden

    @property
    def agreed(self) -> bool:
        """Whether there is nothing to think over: everybody answered as the person did, and a known item rightly."""
        return self.right and all(opinion.same for opinion in self.opinions)


class Card(NamedTuple):
    """A question. `gap` is the place among the lines where a turn without a message, or a hidden one, is marked.

    `in_bar` says that the choices are few and short, so that they stand in the bar at the foot of the page.
    """

    item: str
    task: str
    question: tuple[Piece, ...]
    lines: tuple[Line, ...]
    gap: int | None
    hides: bool
    keys: tuple[Key, ...]
    several: bool
    in_bar: bool
    none_chosen: bool
    cannot_say_chosen: bool
    reveal: Reveal | None


class OtherAnswer(NamedTuple):
    """An answer of another person, which an adjudicator sees after the own one."""

    who: str
    answer: Answer
    comment: str = ""


def card(item: ReviewItem, digest: str, reviewer: str) -> Card:
    """Return the card of an item, named by its digest, as `reviewer` sees it before the answer."""
    return _card(item, digest, reviewer, None, None)


def revealed_card(
    item: ReviewItem, digest: str, reviewer: str, answer: Answer, *, others: Sequence[OtherAnswer] = ()
) -> Card:
    """Return the card of an item that `reviewer` has answered, with the votes of machines and, if given, people."""
    found = [
        Opinion(vote.judge, answer_text(item, vote.answer), pieces(vote.reason), vote.answer == answer)
        for vote in item.votes
    ] + [
        Opinion(other.who, answer_text(item, other.answer), pieces(other.comment), other.answer == answer)
        for other in others
    ]
    return _card(
        item,
        digest,
        reviewer,
        answer,
        Reveal(
            answer=answer_text(item, answer),
            opinions=tuple(found),
            why=_why(item),
            expected=None if item.expected is None else answer_text(item, item.expected),
            right=item.expected is None or item.expected == answer,
            happened=_happened(item),
        ),
    )


def answer_text(item: ReviewItem, answer: Answer) -> str:
    """Return an answer as people read it."""
    if answer == CANNOT_SAY:
        return "cannot say"
    if answer == _NONE:
        return "none of these"
    texts = {choice.key: choice.text for choice in item.choices}
    return ", ".join("".join(piece.text for piece in pieces(texts.get(key, key))) for key in answer)


def _why(item: ReviewItem) -> str:
    """Return why an item was asked, by what is true of it and not by what it was drawn for alone."""
    if item.why == "repeat":
        return "You had answered it before. A few questions come twice, to learn how steady answers are."
    if item.why == "known":
        return "Its answer was known. A few such questions are mixed in, to learn how much attention answers get."
    if item.split == "anchor":
        return "It only measures: nothing is learned from it, and nobody is shown what the machine says."
    if len({vote.answer for vote in item.votes}) > 1:
        return "It was asked because these judges differ."
    if item.why == "disagreement" and item.votes and item.votes[0].answer == _NONE:
        return "It was asked because no judge finds any of these here."
    if item.why == "disagreement":
        return "It was asked because the label that follows from it is in doubt."
    return "It was drawn at random, to learn how often the judges are wrong together."


def _happened(item: ReviewItem) -> tuple[Piece, ...]:
    if item.kind != "is_stop":
        return ()
    turn = " ".join(message.content for message in item.messages[item.start : item.end] if message.content)
    return pieces(turn if len(turn) <= _LONGEST_TURN else f"{turn[:_LONGEST_TURN]}…") or (Piece(_ENDS),)


def _card(item: ReviewItem, digest: str, reviewer: str, chosen: Answer | None, reveal: Reveal | None) -> Card:
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
    hides = reveal is None and item.kind == "is_stop"
    return Card(
        item=digest,
        task=item.task,
        question=pieces(item.question),
        lines=_lines(item, item.shown if hides else len(item.messages)),
        gap=item.start if hides or item.start == item.end else None,
        hides=hides,
        keys=keys,
        several=item.several,
        in_bar=not item.several
        and len(keys) == 2
        and all(len(choice.text) + len(choice.description) <= _SHORT for choice in item.choices),
        none_chosen=chosen == _NONE and item.several,
        cannot_say_chosen=chosen == CANNOT_SAY,
        reveal=reveal,
    )


def _lines(item: ReviewItem, shown: int) -> tuple[Line, ...]:
    spoken = [index for index, message in enumerate(item.messages) if message.content.strip()]
    return tuple(
        Line(
            side="expert" if message.role == "assistant" else "user",
            pieces=pieces(message.content),
            marked=item.start <= index < item.end,
            note=""
            if message.content.strip()
            else _ENDS
            if message.role == "assistant" and (not spoken or index > spoken[-1])
            else _EMPTY,
        )
        for index, message in enumerate(item.messages[:shown])
    )


def _presses(number: int, choice: Choice, *, several: bool) -> tuple[str, ...]:
    keys = _DIGITS + _LETTERS
    shown = keys[number : number + 1]
    word = "" if several else _WORDS.get(choice.key.lower(), "")
    return tuple(key for key in (word, shown) if key)
