"""A simulated reviewer, who answers the cards of a suggestion by the truth about the sessions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from learntoask.calibration.answers import NO, YES, collect
from learntoask.core.text.words import words
from learntoask.induction.people.said import NEEDED, NOTHING, Said
from learntoask.review.records import CANNOT_SAY, Answer, ReviewAnswer, ReviewItem

from .domains import Domain


class SimulatedReviewer:
    """Knows what every message asks for and where the sessions end, and no more."""

    def __init__(self, domain: Domain) -> None:
        self._truths = domain.truths
        self._asked: list[tuple[str, str, frozenset[str]]] = []  # text, task, items of the turn
        for line in domain.lines:
            truth = domain.truths[line["session_id"]]
            asks: frozenset[str] = frozenset()
            for place, message in enumerate(line["messages"]):
                asks = truth.asks.get(place, asks)
                self._asked.append((_plain(str(message["content"])), truth.task, asks))

    def said(self, items: Sequence[ReviewItem]) -> Said:
        """Return what the reviewer answers to the items."""
        answers = [
            ReviewAnswer(item=item.digest, reviewer="simulated", answer=self._answer(item), blind=None)
            for item in items
        ]
        return Said.of(collect(items, answers).answered)

    def _answer(self, item: ReviewItem) -> Answer:
        truth = self._truths[item.origin.session_id]
        if item.kind == "same_field":
            return self._same(item.messages[0].content, item.messages[2].content)
        if item.kind == "asks_for":
            return self._asks_for(item)
        if item.kind == "required":
            asks = [asked for start, asked in truth.asks.items() if start <= item.origin.turn]
            return (NEEDED,) if asks and asks[-1] else (NOTHING,)
        if item.kind == "is_end":
            acts = truth.stop is not None and truth.stop <= item.origin.turn
            return ("acts" if acts else "goes_on",)
        return (item.choices[0].key,)

    def _asks_for(self, item: ReviewItem) -> Answer:
        """Choose a question for each item that the marked one asks for, as far as turns of the task tell.

        Turns with several items tell what a question asks for only where it is all that they say. A question whose item
        they leave open may be any of theirs. Of several items each needs a choice, as the card says.
        """
        task = self._truths[item.origin.session_id].task
        text = item.messages[item.start].content
        marked = self._items(text).get(task, [])
        known = _known(marked)
        asked = {known} if known is not None else self._whole(text, task)
        if asked == {""}:
            return (NOTHING,)
        chosen: dict[str, str] = {}  # by item
        for choice in item.choices:
            turns = self._items(choice.text).get(task, []) if choice.key != NOTHING else []
            of_choice = _known(turns)
            if of_choice is not None and of_choice in asked:
                chosen.setdefault(of_choice, choice.key)
            elif of_choice is None and any(asked & turn for turn in turns):
                return CANNOT_SAY
        if not asked or (len(asked) > 1 and len(chosen) < len(asked)):
            return CANNOT_SAY
        return tuple(sorted(chosen.values()))

    def _whole(self, text: str, task: str) -> set[str]:
        """Return the items of all messages of a task that say this text and nothing else."""
        turns = [asks for said, of, asks in self._asked if of == task and said == _plain(text)]
        return set(frozenset.intersection(*turns)) if turns else set()

    def _same(self, first: str, second: str) -> Answer:
        """Compare what the texts ask for, in a task that has both if there is one.

        What a text asks for is known where a turn with it asks for nothing else. Otherwise it is only known what it
        does not ask for.
        """
        one, other = self._items(first), self._items(second)
        tasks = [task for task in one if task in other]
        if tasks:
            task = max(tasks, key=lambda name: (min(len(one[name]), len(other[name])), name))
            return _compared(one[task], other[task])
        said = _compared(*([turn for turns in found.values() for turn in turns] for found in (one, other)))
        return said if said == (YES,) else CANNOT_SAY  # two slots may be one thing in two services

    def _items(self, text: str) -> dict[str, list[frozenset[str]]]:
        """Return the items of each turn with the text, by task."""
        found: dict[str, list[frozenset[str]]] = defaultdict(list)
        for said, task, asks in self._asked:
            if _plain(text) in said:
                found[task].append(asks)
        return found


def _compared(one: Sequence[frozenset[str]], other: Sequence[frozenset[str]]) -> Answer:
    first, second = _known(one), _known(other)
    if first is not None and second is not None:
        return (YES if first == second else NO,)
    if first is not None or second is not None:
        known, turns = (first, other) if first is not None else (second, one)
        return CANNOT_SAY if any(known in asks for asks in turns) else (NO,)
    return CANNOT_SAY


def _known(turns: Sequence[frozenset[str]]) -> str | None:
    """Return what the turns ask for, if they tell; "" if they ask for nothing."""
    counts = Counter(next(iter(asks), "") for asks in turns if len(asks) <= 1)
    if counts:
        return max(counts, key=lambda item: (counts[item], item))
    shared = frozenset.intersection(*turns) if turns else frozenset()
    return next(iter(shared)) if len(shared) == 1 else None


def _plain(text: str) -> str:
    """Return the words of a text without "and", which the parts of a question lack."""
    return " ".join(word for word in words(text) if word != "and")
