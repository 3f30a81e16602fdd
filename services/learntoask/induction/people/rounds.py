"""Ask in rounds, because the answers of one tell what is worth asking in the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from learntoask.induction.people.cards import MOST_CARDS
from learntoask.induction.suggestion import Suggestion
from learntoask.review.records import ReviewItem

ROUND = 10  # cards


@dataclass
class Rounds:
    """Takes the cards of each round from the suggestion that follows from the answers to the earlier ones."""

    left: int = MOST_CARDS
    _asked: set[str] = field(default_factory=set)

    def next_of(self, found: Suggestion) -> tuple[ReviewItem, ...]:
        """Return the cards of the next round, none twice; empty if nothing is left to ask."""
        new = [card for card in found.cards if card.digest not in self._asked]
        cards = tuple(new[: min(ROUND, self.left)])
        self._asked |= {card.digest for card in cards}
        self.left -= len(cards)
        return cards
