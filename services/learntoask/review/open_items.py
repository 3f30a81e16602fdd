"""The items of a queue that still need answers, ordered so that a choice does not look at all of them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterator

from learntoask.review.records import ReviewItem
from learntoask.review.votes import information


class OpenItems:
    """Items that need answers: those with an answer already, and those without, by kind and expected information."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}  # missing answers of the items that have been answered before
        self._unanswered: set[str] = set()
        # (minus the information in bits, digest): the digest decides ties, and it is as good as a random number
        self._disputed: dict[str, list[tuple[float, str]]] = {}
        self._audit: list[tuple[float, str]] = []

    def add(self, digest: str, item: ReviewItem) -> None:
        self._unanswered.add(digest)
        if item.why == "disagreement" and information(item.votes) > 0:
            insort(self._disputed.setdefault(item.kind, []), (-information(item.votes), digest))
        else:
            insort(self._audit, (0.0, digest))

    def update(self, digest: str, *, missing: int) -> None:
        """Note how many answers an item misses that was answered or retired. It is not among the fresh items then."""
        self._unanswered.discard(digest)
        self.begun.pop(digest, None)
        if missing > 0:
            self.begun[digest] = missing

    def count(self, answered: Collection[str]) -> int:
        """Return how many items need answers that are not among the `answered` ones."""
        return len(self._unanswered) + sum(1 for digest in self.begun if digest not in answered)

    def kinds(self) -> list[str]:
        """Return the kinds of which there are fresh items that judges disagree about."""
        return list(self._disputed)

    def disputed(self, kind: str) -> Iterator[tuple[float, str]]:
        """Iterate over information (bits) and digest of the fresh items of a kind, most informative first."""
        for value, digest in self._fresh(self._disputed.get(kind, [])):
            yield -value, digest

    def audit(self) -> Iterator[str]:
        """Iterate over the other fresh items, whose votes do not differ or may not be seen, in a random order."""
        for _, digest in self._fresh(self._audit):
            yield digest

    def _fresh(self, listed: list[tuple[float, str]]) -> Iterator[tuple[float, str]]:
        first = next(
            (place for place, (_, digest) in enumerate(listed) if digest in self._unanswered), len(listed)
        )
        del listed[:first]  # the head of the list empties as items are answered
        yield from (entry for entry in listed if entry[1] in self._unanswered)
