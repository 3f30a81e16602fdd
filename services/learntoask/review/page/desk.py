"""What happens to a question on the page: asked, answered, changed, undone. Nothing here knows HTTP or HTML.

A card holds the votes of others only if its reader has answered, and an answer from a card without votes never replaces
one that was given in another tab.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from learntoask.core.errors import InputError
from learntoask.review.page.access import Person, Role
from learntoask.review.page.cards import Card, card, revealed_card
from learntoask.review.page.reveal import OtherAnswer, answer_text
from learntoask.review.queue import ReviewQueue
from learntoask.review.records import CANNOT_SAY, Answer, ReviewItem

# Only these may have a comment of the person. Of others nothing needs to be read from the store.
_SEEN_BEFORE = frozenset(("conflict", "draft", "skipped"))


class Outcome(NamedTuple):
    """What an answer led to. `notice` is what the person should know besides; `card` shows the votes."""

    card: Card
    notice: str = ""


class Undone(NamedTuple):
    """The card of a question, and the answer to it that was taken back.

    The answer is None if a skip was taken back, or if a repeated request did it before.
    """

    card: Card
    answer: Answer | None


class Desk:
    """The questions of one queue. Methods may block. They raise StoreError if the store is away."""

    def __init__(self, queue: ReviewQueue) -> None:
        self.queue = queue

    def next(self, person: Person, *, besides: Collection[str] = ()) -> Card | None:
        """Lease and return the next question for `person`, or None if there is none now."""
        found = self.queue.choose(person.name, besides=besides, adjudicates=person.role is Role.ADJUDICATOR)
        if found is None:
            return None
        if found.reason in _SEEN_BEFORE:
            return self._asked(person, found.item, found.digest)
        return card(found.item, found.digest, person.name)

    def item(self, digest: str) -> ReviewItem:
        """Return an item. Raises InputError with the reason UnknownItem for one that is not, or no longer, asked."""
        item = self.queue.item(digest)
        if item is None:
            raise InputError(f"item: {digest[:12]!r} is not asked in {self.queue.name}", reason="UnknownItem")
        return item

    def answered(self, person: Person, digest: str) -> Card | None:
        """Return the card of a question with the votes of others, or None if `person` has not answered it."""
        item, given = self.item(digest), self.queue.given(digest, person.name)
        return None if given.answer is None else self._revealed(person, item, digest, given.answer)

    def unanswered(self, person: Person, digest: str) -> Card | None:
        """Return the card of a question without the votes of others, or None if `person` has answered it."""
        item, given = self.item(digest), self.queue.given(digest, person.name)
        return self._asked(person, item, digest) if given.answer is None else None

    def answer(
        self, person: Person, digest: str, answer: Answer, *, seconds: float, id: str, revealed: bool
    ) -> Outcome:
        """Record an answer, and return the card with the votes of others. `revealed`: the person's card had them.

        An answer to a question that was answered in another tab is not recorded, and one that is repeated changes
        nothing; both get the card with the answer that stands.
        """
        item, given = self.item(digest), self.queue.given(digest, person.name)
        if id not in given.ids:
            if given.answer is not None and given.answer != answer and not revealed:
                notice = (
                    f"You had answered this in another tab: {answer_text(item, given.answer)}. That answer stands; to "
                    "change it, press another one now."
                )
                return Outcome(self._revealed(person, item, digest, given.answer), notice)
            if given.answer != answer:
                self.queue.answer(
                    digest,
                    person.name,
                    answer,
                    seconds=seconds,
                    id=id,
                    adjudicates=person.role is Role.ADJUDICATOR,
                )
        else:
            answer = given.answer if given.answer is not None else answer
        return Outcome(self._revealed(person, item, digest, answer))

    def undo(self, person: Person, digest: str | None, *, id: str) -> Undone:
        """Take the person's last answer or skip back, or the last one of the question `digest`.

        Raises InputError, with the reason NothingToUndo, if there is none.
        """
        digest = digest or self.queue.last_done(person.name, id=id)
        if digest is None:
            raise InputError("There is no answer to take back.", reason="NothingToUndo")
        item = self.item(digest)
        given = self.queue.given(digest, person.name)
        fresh = given.undoable and id not in given.ids
        if fresh:
            self.queue.undo(digest, person.name, id=id)
        return Undone(self._asked(person, item, digest), given.answer if fresh else None)

    def undone(self, digest: str, answer: Answer) -> str:
        """Return what a person is told after `answer` to the question `digest` was taken back.

        Raises InputError for an answer that the question does not have.
        """
        item = self.item(digest)
        if answer != CANNOT_SAY and not {choice.key for choice in item.choices}.issuperset(answer):
            raise InputError(f"undone: {answer!r} is no answer to this question")
        return f"Undone: you had said {answer_text(item, answer)}."

    def _asked(self, person: Person, item: ReviewItem, digest: str) -> Card:
        commented = bool(self.queue.given(digest, person.name).comments)
        return card(item, digest, person.name, commented=commented)

    def _revealed(self, person: Person, item: ReviewItem, digest: str, answer: Answer) -> Card:
        others: tuple[OtherAnswer, ...] = ()
        if person.role is Role.ADJUDICATOR:
            others = tuple(OtherAnswer(*found) for found in self.queue.others(digest, person.name))
        commented = bool(self.queue.given(digest, person.name).comments)
        return revealed_card(item, digest, person.name, answer, others=others, commented=commented)
