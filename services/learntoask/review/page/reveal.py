"""What a person sees of an item only after the own answer: what others say, why it was asked, what the log says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from learntoask.review.page.visible import Piece, pieces
from learntoask.review.records import CANNOT_SAY, Answer, ReviewItem

_NONE: Answer = ()
_ACT: Answer = ("yes",)  # the answer to `is_stop` that it is time to act
_LONGEST_TURN = 160  # characters of the turn that the strip above the next question quotes
_JUDGES = {"labeller": "the labels", "rewarding": "grader 1", "reporting": "grader 2"}
"""Who a judge is to people who know nothing of the run: a grader's use in training says nothing about its answer."""


class Opinion(NamedTuple):
    """An answer of somebody else than the reviewer, with its reason."""

    who: str
    answer: str
    reason: tuple[Piece, ...]
    same: bool  # as the reviewer
    machine: bool


class OtherAnswer(NamedTuple):
    """An answer of another person, which an adjudicator sees after the own one."""

    who: str
    answer: Answer
    comment: str = ""


class Reveal(NamedTuple):
    """What a person sees only after the answer.

    `happened` is the turn that was hidden before; `acted` says instead that the expert acted there without words, and
    `acted_too` that the person would act there as well.
    """

    answer: str
    opinions: tuple[Opinion, ...]
    why: str
    expected: str | None  # the right answer of a known item
    right: bool
    happened: tuple[Piece, ...]
    acted: bool
    acted_too: bool

    @property
    def agreed(self) -> bool:
        """Whether there is nothing to think over: everybody answered as the person did, and a known item rightly."""
        return self.right and all(opinion.same for opinion in self.opinions)

    @property
    def title(self) -> str:
        """Who says something else than the person, in one line."""
        if not self.right:
            return "The known answer is another one"
        if self.agreed:
            return "Everybody agrees" if self.opinions else "Your answer is recorded"
        machines = [opinion.same for opinion in self.opinions if opinion.machine]
        people = [opinion.same for opinion in self.opinions if not opinion.machine]
        parts = _differing(machines, "machine judge", "machine judges") + _differing(
            people, "other person", "other people"
        )
        says = "says" if (machines + people).count(False) == 1 else "say"
        text = f"{' and '.join(parts)} {says} something else"
        return text[0].upper() + text[1:]


def reveal(item: ReviewItem, answer: Answer, others: Sequence[OtherAnswer]) -> Reveal:
    """Return what is shown beside an answer: the votes of machines and the answers of `others`."""
    happened = _happened(item)
    return Reveal(
        answer=answer_text(item, answer),
        opinions=tuple(
            Opinion(
                judge_name(vote.judge),
                answer_text(item, vote.answer),
                pieces(vote.reason),
                same=vote.answer == answer,
                machine=True,
            )
            for vote in sorted(item.votes, key=lambda vote: judge_name(vote.judge))
        )
        + tuple(
            Opinion(
                other.who,
                answer_text(item, other.answer),
                pieces(other.comment),
                same=other.answer == answer,
                machine=False,
            )
            for other in others
        ),
        why=_why(item),
        expected=None if item.expected is None else answer_text(item, item.expected),
        right=item.expected is None or item.expected == answer,
        happened=happened,
        acted=item.kind == "is_stop" and not happened,
        acted_too=answer == _ACT,
    )


def judge_name(judge: str) -> str:
    """Return how people read the name of a judge; `labeller#2` is the labeller's second judgement."""
    base, _, judgement = judge.partition("#")
    name = _JUDGES.get(base, base)
    return f"{name} (asked again, {judgement})" if judgement else name


def answer_text(item: ReviewItem, answer: Answer) -> str:
    """Return an answer as people read it."""
    if answer == CANNOT_SAY:
        return "cannot say"
    if answer == _NONE:
        return "none of these"
    texts = {choice.key: choice.text for choice in item.choices}
    return ", ".join("".join(piece.text for piece in pieces(texts.get(key, key))) for key in answer)


def _differing(same: Sequence[bool], one: str, many: str) -> list[str]:
    """Return whose opinions differ, as a part of a sentence: none or one."""
    differing = same.count(False)
    if not differing:
        return []
    if len(same) == 1:
        return [f"the {one}"]
    if differing < len(same):
        return [f"{differing} of {len(same)} {many}"]
    return [f"both {many}" if differing == 2 else f"all {differing} {many}"]


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
    turn = " ".join(
        message.content for message in item.messages[item.start : item.end] if message.content.strip()
    )
    return pieces(turn if len(turn) <= _LONGEST_TURN else f"{turn[:_LONGEST_TURN]}…")
