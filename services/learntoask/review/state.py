"""The state of a queue: a fold over items, retirements and events, kept up to date one by one. No input or output.

Events may arrive in any order and more than once. Events of one reviewer on one item are ordered by their number;
events of different reviewers do not depend on each other.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from learntoask.review.open_items import OpenItems
from learntoask.review.records import Answer, Event, Retirement, ReviewItem
from learntoask.review.response import NO_RESPONSE, Response, response_of
from learntoask.review.settings import ReviewSettings
from learntoask.review.votes import machine_answer

_LONGEST_SECONDS = 600.0  # a longer time means that the reviewer was away from the screen
_RECENT = 25  # latest answers that tell how long the next one takes
_PRIOR_SECONDS, _PRIOR_ANSWERS = 18.0, 8  # expected before anyone has answered, and what that weighs


class Seconds:
    """Times that were spent on answers, in seconds, with their median."""

    def __init__(self) -> None:
        self._sorted: list[float] = []
        self._by_time: list[tuple[float, float]] = []

    def add(self, seconds: float, *, at: float) -> None:
        """Add the seconds that an answer took which was given `at` a time since the epoch."""
        seconds = min(seconds, _LONGEST_SECONDS)
        insort(self._sorted, seconds)
        insort(self._by_time, (at, seconds))

    def __len__(self) -> int:
        return len(self._sorted)

    def median(self, otherwise: float) -> float:
        return median(self._sorted) if self._sorted else otherwise

    def expected(self) -> float:
        """Return the time that the next answer takes: the median of the latest ones.

        The logarithm is drawn towards that of a prior time, less with every answer, so that the first answers do not
        make the expectation jump.
        """
        recent = [max(1.0, seconds) for _, seconds in self._by_time[-_RECENT:]]
        own, n = math.log(median(recent) if recent else _PRIOR_SECONDS), len(self)
        return math.exp((n * own + _PRIOR_ANSWERS * math.log(_PRIOR_SECONDS)) / (n + _PRIOR_ANSWERS))


@dataclass
class ReviewerState:
    """What a reviewer did with the items of a queue; the dictionaries hold digests of items."""

    answered: dict[str, float] = field(default_factory=dict)  # time of the standing answer
    drafts: dict[str, float] = field(default_factory=dict)  # time of the lease
    skipped: dict[str, float] = field(default_factory=dict)  # time of the skip
    seconds: Seconds = field(default_factory=Seconds)
    by_kind: dict[str, Seconds] = field(default_factory=lambda: defaultdict(Seconds))


class QueueState:
    """The state of a queue. Items are named by their digest; `now` is in seconds since the epoch."""

    def __init__(self, settings: ReviewSettings) -> None:
        self.settings = settings
        self.items: dict[str, ReviewItem] = {}
        self.retired: dict[str, str] = {}
        self.reviewers: dict[str, ReviewerState] = defaultdict(ReviewerState)
        self.repeat_of: dict[str, str] = {}  # the item that asks an item again, by the latter's digest
        self.known: list[str] = []
        self.hiding: dict[str, list[str]] = defaultdict(
            list
        )  # items that hide what the expert did, by session
        self.machine: dict[str, Answer | None] = {}  # what most judges say, by item
        self.disputed: set[str] = set()  # items that the judges disagree about
        self.open = OpenItems()
        self.all_required = 0  # answers that are required, summed over the items
        self.required_given = 0  # those of them that were given
        self.answered_twice: set[str] = set()
        self.conflicts: set[str] = set()  # answered differently, and not decided
        self.seconds = Seconds()
        self.by_kind: dict[str, Seconds] = defaultdict(Seconds)
        self._events: dict[tuple[str, str], list[Event]] = {}
        self._responses: dict[str, dict[str, Response]] = defaultdict(dict)
        self._standing: dict[str, int] = defaultdict(int)
        self._unplaced: dict[str, list[Event]] = defaultdict(list)

    # what there is

    def add(self, items: Iterable[ReviewItem]) -> None:
        """Add items. For each that is to be answered for its own sake there is then also one that asks it again."""
        for item in items:
            digest = item.digest
            if digest in self.items:
                continue
            self._place(digest, item)
            if item.repeats is not None:
                self.repeat_of[item.repeats] = digest
            elif item.why == "known":
                self.known.append(digest)
            else:
                again = repeated(item, digest)
                name = self.repeat_of.setdefault(digest, again.digest)
                if name not in self.items:
                    self._place(name, again)

    def retire(self, retirement: Retirement) -> None:
        for digest in (retirement.item, self.repeat_of.get(retirement.item)):
            if digest is None or digest in self.retired:
                continue
            self._count(digest, -1)
            self.retired[digest] = retirement.reason
            self._reopen(digest)

    def apply(self, event: Event) -> None:
        """Take an event into account. Events that are known already change nothing."""
        if event.item not in self.items:
            self._unplaced[event.item].append(event)
            return
        events = self._events.setdefault((event.item, event.reviewer), [])
        place = bisect_left(events, event.n, key=lambda known: known.n)
        if place < len(events) and events[place].n == event.n:
            return
        events.insert(place, event)
        if event.kind == "answered" and not event.revealed and event.seconds > 0:
            self._spent(event)
        self._update(event.item, event.reviewer, response_of(events))

    # what it means

    def response(self, item: str, reviewer: str) -> Response:
        return self._responses[item].get(reviewer, NO_RESPONSE) if item in self._responses else NO_RESPONSE

    def responses(self, item: str) -> Mapping[str, Response]:
        """Return the responses to an item by reviewer."""
        return self._responses.get(item, {})

    def item_of_action(self, reviewer: str, id: str) -> str | None:
        """Return the item to which `reviewer` did what the client calls `id`, if it is recorded."""
        return next(
            (
                item
                for item, responses in self._responses.items()
                if reviewer in responses and id in responses[reviewer].ids
            ),
            None,
        )

    def all_responses(self) -> Iterator[tuple[str, str, Response]]:
        """Iterate over item, reviewer and response of all that was done, retired items included."""
        for item, responses in self._responses.items():
            for reviewer, response in responses.items():
                yield item, reviewer, response

    def answers(self) -> Iterator[tuple[str, str, Response]]:
        """Iterate over item, reviewer and response of all standing answers, retired items included."""
        return (found for found in self.all_responses() if found[2].answer is not None)

    def required(self, item: str) -> int:
        """Return how many reviewers have to answer an item: none for repeats and known items, which check reviewers."""
        known = self.items[item]
        if item in self.retired or known.why in ("repeat", "known"):
            return 0
        doubled = known.split == "anchor" and int(item[:8], 16) < self.settings.double_share * 16**8
        return max(self.settings.overlap, 2) if doubled else self.settings.overlap

    def is_disagreed(self, item: str) -> bool:
        """Whether people answered an item differently. Who decided between them does not count."""
        plain = (r.answer for r in self.responses(item).values() if not r.adjudicated)
        return len({answer for answer in plain if answer is not None}) > 1

    def given(self, item: str) -> int:
        """Return how many reviewers' answers to an item stand, surplus ones included."""
        return self._standing.get(item, 0)

    def lease_seconds(self, reviewer: str) -> float:
        medians = self.settings.lease_medians * self.reviewers[reviewer].seconds.median(0.0)
        return max(self.settings.lease_seconds, medians)

    def leases(self, item: str, *, now: float, besides: str) -> int:
        """Return how many reviewers other than `besides` work on an item.

        A lease that lies further in the future than it lasts was written by a wrong clock and counts for nothing.
        """
        return sum(
            1
            for reviewer, response in self.responses(item).items()
            if reviewer != besides
            and response.leased is not None
            and abs(now - response.leased) < self.lease_seconds(reviewer)
        )

    def wants(self, item: str, reviewer: str, *, now: float) -> bool:
        """Whether an answer of `reviewer` to `item` is wanted."""
        if item in self.retired or self.response(item, reviewer).answer is not None:
            return False
        if self.items[item].why in ("repeat", "known"):
            return True
        required, given = self.required(item), self.given(item)
        return given < required and given + self.leases(item, now=now, besides=reviewer) < required

    # bookkeeping

    def _place(self, digest: str, item: ReviewItem) -> None:
        self.items[digest] = item
        if item.shown < len(item.messages) and item.repeats is None:
            self.hiding[item.origin.session_id].append(digest)
        self.machine[digest] = machine_answer(item.votes)
        if any(vote.answer != item.votes[0].answer for vote in item.votes):
            self.disputed.add(digest)
        if item.repeats is not None and item.repeats in self.retired:
            self.retired[digest] = self.retired[item.repeats]
        if self.required(digest):
            self.open.add(digest, item)
            self._count(digest, 1)
        for event in self._unplaced.pop(digest, ()):
            self.apply(event)

    def _spent(self, event: Event) -> None:
        reviewer, kind = self.reviewers[event.reviewer], self.items[event.item].kind
        for seconds in (self.seconds, self.by_kind[kind], reviewer.seconds, reviewer.by_kind[kind]):
            seconds.add(event.seconds, at=event.time)

    def _update(self, item: str, name: str, response: Response) -> None:
        self._responses[item][name] = response
        reviewer = self.reviewers[name]
        before = item in reviewer.answered
        for where, time in (
            (reviewer.answered, response.answered),
            (reviewer.drafts, response.leased),
            (reviewer.skipped, response.skipped),
        ):
            if time is None:
                where.pop(item, None)
            else:
                where[item] = time
        change = (response.answer is not None) - before
        if change:
            self._count(item, -1)
            self._standing[item] += change
            self._count(item, 1)
            self._reopen(item)
            (self.answered_twice.add if self.given(item) > 1 else self.answered_twice.discard)(item)
        decided = any(other.adjudicated for other in self.responses(item).values())
        if self.required(item) and not decided and self.is_disagreed(item):
            self.conflicts.add(item)
        else:
            self.conflicts.discard(item)

    def _count(self, item: str, sign: int) -> None:
        """Add the item's required and given answers to the sums, or take them away before they change."""
        if item in self.items:
            required = self.required(item)
            self.all_required += sign * required
            self.required_given += sign * min(required, self.given(item))

    def _reopen(self, item: str) -> None:
        if item in self.items:
            self.conflicts -= {item} if item in self.retired else set()
            self.open.update(item, missing=self.required(item) - self.given(item))


def repeated(item: ReviewItem, digest: str) -> ReviewItem:
    """Return the item that asks `item` (named `digest`) again, to see whether a reviewer gives the same answer."""
    return ReviewItem.model_validate({**dict(item), "why": "repeat", "repeats": digest})
