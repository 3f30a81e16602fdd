"""The frozen answers of people, and what they agree on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from learntoask.core.digest import digest_of
from learntoask.core.json_lines import read_records
from learntoask.review.records import CANNOT_SAY, Answer, Freeze, ItemSplit, ReviewAnswer, ReviewItem

YES, NO = "yes", "no"


def read_answers(path: Path | None) -> list[ReviewAnswer]:
    """Read answers.jsonl, or nothing without a path, in an order that does not depend on the file's.

    Raises InputError with the line that is wrong.
    """
    found = list(read_records(path, ReviewAnswer)) if path is not None else []
    return sorted(found, key=lambda answer: (answer.item, answer.reviewer))


def read_earlier(path: Path) -> list[frozenset[str]]:
    """Return the items that were answered at each earlier publication of the queue, or nothing without a file."""
    found = read_records(path, Freeze) if path.exists() else ()
    return [frozenset(freeze.items) for freeze in found]


@dataclass(frozen=True)
class Answered:
    """An item with its answers by reviewer, those to its repetitions left out, and what the people agree on.

    `keys` maps each choice that people agree on to whether it was chosen; of a choice that as many chose as not, they
    agree on nothing. It is empty if nobody could say.
    """

    item: ReviewItem
    digest: str
    by_reviewer: Mapping[str, Answer]  # without that of an adjudicator
    keys: Mapping[str, bool]

    @property
    def chosen(self) -> frozenset[str] | None:
        """The chosen choices; None unless people agree on every choice."""
        if len(self.keys) < len(self.item.choices):
            return None
        return frozenset(key for key, said in self.keys.items() if said)

    @property
    def yes(self) -> bool | None:
        """The answer to a question with yes and no."""
        return None if self.chosen is None else self.chosen == {YES}


@dataclass
class Review:
    """The items of a review with their answers, and what was left out."""

    items: dict[str, ReviewItem]
    answered: list[Answered] = field(default_factory=list)
    answers: int = 0  # to items of this review
    unknown: int = 0  # answers to items that this review does not hold
    cannot_say: int = 0
    attention: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # known items: right, asked; by reviewer
    repeated: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # repeated items: same, asked; by reviewer
    digest: str = ""  # of the answers

    def of(self, *splits: ItemSplit, kind: str | None = None) -> list[Answered]:
        """Return the answered items of some splits, and of one kind if one is given."""
        return [
            one
            for one in self.answered
            if one.item.split in splits and (kind is None or one.item.kind == kind) and one.keys
        ]


def collect(items: Iterable[ReviewItem], answers: Sequence[ReviewAnswer]) -> Review:
    """Bring items and answers together. Repeated and known items only count for the figures about reviewers."""
    review = Review(items={item.digest: item for item in items})
    given: dict[str, dict[str, Answer]] = defaultdict(dict)
    decided: dict[str, Answer] = {}
    again: list[ReviewAnswer] = []
    for answer in answers:
        if answer.repeats in review.items:
            again.append(answer)
        elif answer.item in review.items and answer.adjudicated:
            decided[answer.item] = answer.answer
        elif answer.item in review.items:
            given[answer.item][answer.reviewer] = _standing(answer, review.items[answer.item])
        else:
            review.unknown += 1
            continue
        review.answers += 1
        review.cannot_say += answer.answer == CANNOT_SAY
    for answer in again:
        _count(
            review.repeated, answer.reviewer, answer.answer, given[answer.repeats or ""].get(answer.reviewer)
        )
    for digest, item in review.items.items():
        if item.why == "known":
            for reviewer, said in given[digest].items():
                _count(review.attention, reviewer, said, item.expected)
        else:
            votes = [decided[digest]] if digest in decided else list(given[digest].values())
            review.answered.append(Answered(item, digest, given[digest], _agreed(item, votes)))
    review.digest = digest_of([[one.item, one.reviewer, list(one.answer)] for one in answers])
    return review


def _standing(answer: ReviewAnswer, item: ReviewItem) -> Answer:
    """Return the answer that counts.

    On the anchor it is the one given before the machine's votes were shown, because they draw people to them, and a
    measurement would count that as agreement. Elsewhere a second thought is worth more than the first.
    """
    return answer.blind if item.split == "anchor" and answer.blind is not None else answer.answer


def _count(figures: dict[str, tuple[int, int]], reviewer: str, answer: Answer, right: Answer | None) -> None:
    if right is not None and CANNOT_SAY not in (answer, right):
        before = figures.get(reviewer, (0, 0))
        figures[reviewer] = before[0] + (set(answer) == set(right)), before[1] + 1


def _agreed(item: ReviewItem, given: Sequence[Answer]) -> dict[str, bool]:
    said = [answer for answer in given if answer != CANNOT_SAY]
    found = {}
    for choice in item.choices:
        times = sum(choice.key in answer for answer in said)
        if said and 2 * times != len(said):
            found[choice.key] = 2 * times > len(said)
    return found


def pairs_said(answered: Iterable[Answered]) -> dict[tuple[str, int], dict[str, bool]]:
    """Return what people say of (turn, field) pairs in answers of kind `asks_for`, by session and turn."""
    found: dict[tuple[str, int], dict[str, bool]] = {}
    for one in answered:
        if one.item.kind == "asks_for":
            found.setdefault((one.item.origin.session_id, one.item.origin.turn), {}).update(one.keys)
    return found


def acts_said(answered: Iterable[Answered]) -> dict[tuple[str, int], bool]:
    """Return where people say that the expert acts, or does not, by session and turn (kind `is_stop`)."""
    found: dict[tuple[str, int], bool] = {}
    for one in answered:
        if one.item.kind == "is_stop" and one.yes is not None:
            found[one.item.origin.session_id, one.item.origin.turn] = one.yes
    return found


def goals_said(answered: Iterable[Answered]) -> dict[tuple[str, int], frozenset[str]]:
    """Return the micro-goals that people name, by session and turn (kind `still_needed`)."""
    found: dict[tuple[str, int], frozenset[str]] = {}
    for one in answered:
        if one.item.kind == "still_needed" and one.chosen is not None:
            found[one.item.origin.session_id, one.item.origin.turn] = one.chosen
    return found
