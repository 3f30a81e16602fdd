"""A review queue: what the page and the command line call to ask people and to record what they do.

Several threads may use one ReviewQueue, and several processes may serve the same queue. A process keeps the state in
memory and takes in what others have stored. Each action of a reviewer has a number on its item, and the storage accepts
one event for each number, so that two servers find out about each other when they write.
"""

from __future__ import annotations

import math
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from typing import Any

from learntoask.core.errors import InputError, StoreError
from learntoask.review.flags import reviewer_flags
from learntoask.review.frozen import FrozenAnswers, frozen_answers
from learntoask.review.next_item import NextItem, next_item
from learntoask.review.progress import Progress, QueueStatus, progress, queue_status
from learntoask.review.records import (
    CANNOT_SAY,
    REVIEWER_NAME,
    Answer,
    CarriedItem,
    Event,
    Freeze,
    Retirement,
    ReviewItem,
)
from learntoask.review.response import Response
from learntoask.review.settings import ReviewSettings
from learntoask.review.state import QueueState
from learntoask.review.storage.protocol import QueueStorage

_ATTEMPTS = 100  # events of others on the same item and reviewer that a write gives way to
_LONGEST_PAUSE = 0.05  # seconds before items are tried again that other servers took at the same time
_RENEW_AFTER = 0.4  # of a lease, so that the heartbeats of a page do not all become events
_LONGEST_COMMENT = 10_000
_NAME = re.compile(REVIEWER_NAME)
Decide = Callable[[Response], Mapping[str, Any] | None]
"""From what a reviewer did with an item to the fields of the next event, or None if there is nothing to record."""


class ReviewQueue:
    """A queue. `clock` returns seconds since the epoch. With `only`, items of other digests are kept but not asked.

    Methods raise StoreError if the storage cannot be used. Methods that take a reviewer or an item raise InputError;
    its `reason` is UnknownReviewer, UnknownItem, ItemRetired, AnswerRefused or NothingToUndo. An action with an `id`
    that is recorded already changes nothing, so that a request may be sent again.
    """

    def __init__(
        self,
        storage: QueueStorage,
        *,
        name: str,
        settings: ReviewSettings | None = None,
        only: Collection[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.settings = settings or ReviewSettings()
        self._storage, self._clock, self._only = storage, clock, only
        self._lock = threading.Lock()  # of the state; held for computing, never while the storage is asked
        # What one thread has read is in the state before another one reads on.
        self._reading = threading.Lock()
        self._claimed: set[str] = set()  # items that threads of this process are giving away
        self._state = QueueState(self.settings)
        self._left_out = QueueState(self.settings)  # items that are kept but not asked
        self._polled = -math.inf
        self.refresh()

    # items

    def add(self, items: Sequence[ReviewItem]) -> None:
        """Add items. Those that are there already stay as they are."""
        self._storage.add_items(items)
        self.refresh()

    def retire(self, items: Collection[str], *, reason: str) -> None:
        """Stop asking for items. `reason` is shown to people whose answers come too late."""
        self._storage.retire([Retirement(item=item, reason=reason) for item in sorted(items)])
        self.refresh()

    def item(self, digest: str) -> ReviewItem | None:
        """Return an item that is asked, or None."""
        self._poll()
        with self._lock:
            return None if digest in self._state.retired else self._state.items.get(digest)

    def unanswered(self) -> set[str]:
        """Return the digests of the items that are asked and have no answer yet."""
        self.refresh()
        with self._lock:
            return {
                digest
                for digest in self._state.items
                if self._state.required(digest) and not self._state.given(digest)
            }

    # reviewers

    def next_item(
        self, reviewer: str, *, besides: Collection[str] = (), adjudicates: bool = False
    ) -> str | None:
        """Return the digest of the item to ask `reviewer` next, and lease it. None: there is nothing to ask now.

        `besides` are items that the reviewer has on the screen already. One who `adjudicates` is first asked about
        items that others disagree on.
        """
        found = self.choose(reviewer, besides=besides, adjudicates=adjudicates)
        return None if found is None else found.digest

    def choose(
        self, reviewer: str, *, besides: Collection[str] = (), adjudicates: bool = False
    ) -> NextItem | None:
        """Do as `next_item` does, and return also why it is this item's turn."""
        self._check_reviewer(reviewer)
        self._poll()
        passed: set[str] = set()
        for _ in range(_ATTEMPTS):
            with self._lock:
                found = next_item(
                    self._state,
                    reviewer,
                    now=self._clock(),
                    besides={*besides, *passed, *self._claimed},
                    adjudicates=adjudicates,
                )
                busy = bool(passed or self._claimed)
                if found is not None:
                    self._claimed.add(found.digest)
            if found is None and not busy:
                return None
            if found is None:  # what is left is being given away at this moment
                time.sleep(random.uniform(0.0, _LONGEST_PAUSE))
                for digest in passed:  # who gave way last finds that the other one did too
                    self._take(self._storage.events_of(digest))
                passed.clear()
                continue
            try:
                if self._claim(found, reviewer):
                    return found
            finally:
                with self._lock:
                    self._claimed.discard(found.digest)
            passed.add(found.digest)
        raise StoreError(f"{self._storage.address}: all items are being taken by others; try again")

    def _claim(self, found: NextItem, reviewer: str) -> bool:
        """Lease an item; return False if another server gives it away at the same time.

        The item is read before the lease and after it. Of two servers that lease it at least one sees the other in the
        end, and one that does gives way.
        """
        if not self._is_wanted(found, reviewer):
            return False
        if not self._lease(found.digest, reviewer):
            return True  # it was leased before
        if self._is_wanted(found, reviewer):
            return True
        self._record(found.digest, reviewer, "", lambda _: {"kind": "released"})
        return False

    def _is_wanted(self, found: NextItem, reviewer: str) -> bool:
        self._take(self._storage.events_of(found.digest))
        with self._lock:
            conflict = found.reason == "conflict" and found.digest in self._state.conflicts
            return conflict or self._state.wants(found.digest, reviewer, now=self._clock())

    def renew(self, digests: Collection[str], reviewer: str) -> None:
        """Keep the leases of items on the reviewer's screen, except where no answer is wanted any more."""
        self._check_reviewer(reviewer)
        for digest in digests:
            with self._lock:
                known = digest in self._state.items
                wanted = known and self._state.wants(digest, reviewer, now=self._clock())
            if wanted:
                self._lease(digest, reviewer)

    def given(self, digest: str, reviewer: str) -> Response:
        """Return what `reviewer` did with an item so far, on any server."""
        self._check(digest, reviewer, retired=True)
        self._take(self._storage.events_of(digest))
        with self._lock:
            return self._state.response(digest, reviewer)

    def others(self, digest: str, reviewer: str) -> list[tuple[str, Answer, str]]:
        """Return name, answer and comments of the other people who answered an item."""
        self._check(digest, reviewer, retired=True)
        self._take(self._storage.events_of(digest))
        with self._lock:
            return [
                (name, response.answer, "\n".join(response.comments))
                for name, response in sorted(self._state.responses(digest).items())
                if name != reviewer and response.answer is not None
            ]

    def answer(
        self,
        digest: str,
        reviewer: str,
        answer: Answer,
        *,
        seconds: float,
        id: str = "",
        adjudicates: bool = False,
    ) -> Response:
        """Record an answer, or another one. The first that is given is the blind one if something is shown after it.

        An answer beyond those required is recorded too. `seconds` is the time spent. The answer of one who
        `adjudicates` decides if others disagree.
        """
        item = self._check(digest, reviewer)
        chosen = _checked(item, answer)
        if not (math.isfinite(seconds) and seconds >= 0):
            raise InputError(f"seconds: {seconds} is not a time", reason="AnswerRefused")

        def decide(given: Response) -> Mapping[str, Any] | None:
            if given.answer == chosen and self.given(digest, reviewer).answer == chosen:
                return None
            with self._lock:
                decides = adjudicates and self._state.is_disagreed(digest)
            return {
                "kind": "answered",
                "answer": chosen,
                "seconds": seconds,
                "revealed": given.seen and item.reveals,
                "adjudicated": decides,
            }

        return self._record(digest, reviewer, id, decide)

    def undo(self, digest: str, reviewer: str, *, id: str = "") -> Response:
        """Take the last answer of `reviewer` to an item back, or its skip. The answer before it stands again."""
        self._check(digest, reviewer)

        def decide(given: Response) -> Mapping[str, Any]:
            if not given.undoable and not self.given(digest, reviewer).undoable:
                raise InputError("There is no answer to take back.", reason="NothingToUndo")
            return {"kind": "undone"}

        return self._record(digest, reviewer, id, decide)

    def last_done(self, reviewer: str, *, id: str = "") -> str | None:
        """Return the item that `reviewer` answered or skipped last, or that the action `id` was about.

        Items that are no longer asked are left out. None: there is nothing to take back.
        """
        self._check_reviewer(reviewer)
        self._poll()
        with self._lock:
            if id and (done := self._state.item_of_action(reviewer, id)):
                return done
            did = self._state.reviewers[reviewer]
            own = {**did.skipped, **did.answered}
            asked = [digest for digest in own if digest not in self._state.retired]
            return max(asked, key=own.__getitem__, default=None)

    def skip(self, digest: str, reviewer: str, *, seconds: float = 0.0, id: str = "") -> Response:
        """Leave an item to others. It comes back at the end if they leave it too."""
        self._check(digest, reviewer)
        return self._record(digest, reviewer, id, lambda _: {"kind": "skipped", "seconds": seconds})

    def comment(self, digest: str, reviewer: str, comment: str, *, id: str = "") -> Response:
        """Record a comment on an item."""
        self._check(digest, reviewer, retired=True)
        if not 0 < len(comment) <= _LONGEST_COMMENT:
            raise InputError(
                f"comment: write between 1 and {_LONGEST_COMMENT} characters", reason="AnswerRefused"
            )
        return self._record(digest, reviewer, id, lambda _: {"kind": "commented", "comment": comment})

    # figures

    def progress(self, reviewer: str) -> Progress:
        """Return how far the review is."""
        self._check_reviewer(reviewer)
        self._poll()
        with self._lock:
            return progress(self._state, reviewer)

    def warnings(self, reviewer: str) -> list[str]:
        """Return what `reviewer` should be told about the own answers."""
        self._check_reviewer(reviewer)
        with self._lock:
            return [flag.message for flag in reviewer_flags(self._state, reviewer)]

    def status(self) -> QueueStatus:
        """Return the figures of the queue, with all that is stored."""
        self.refresh()
        with self._lock:
            return queue_status(self._state)

    def freeze(self) -> FrozenAnswers:
        """Return all answers that stand, as bytes with a digest."""
        self.refresh()
        with self._lock:
            return frozen_answers(self._state)

    def keep_freeze(self, frozen: FrozenAnswers) -> list[Freeze]:
        """Remember that `frozen` is published, and return what was published before with other answers."""
        items = sorted({answer.item for answer in frozen.answers})
        self._storage.keep_freeze(Freeze(answers=frozen.digest, items=tuple(items)))
        return [freeze for freeze in self._storage.freezes() if freeze.answers != frozen.digest]

    def carried(self) -> list[CarriedItem]:
        """Return the answered items that are kept but not asked, by digest, except those that check reviewers."""
        self.refresh()
        with self._lock:
            given = frozen_answers(self._left_out).answers
            return [
                CarriedItem(item=self._left_out.items[digest], answers=tuple(answers))
                for digest, answers in groupby(given, key=lambda answer: answer.item)
                if self._left_out.items[digest].why in ("disagreement", "audit")
            ]

    def responses(self) -> list[tuple[str, ReviewItem, str, Response]]:
        """Return digest, item, reviewer and response of all answers, skips and comments, by item and reviewer."""
        self.refresh()
        with self._lock:
            found = sorted(self._state.all_responses(), key=lambda response: response[:2])
            return [
                (digest, self._state.items[digest], name, response)
                for digest, name, response in found
                if response.answer is not None or response.skipped is not None or response.comments
            ]

    def refresh(self) -> None:
        """Take in all that is stored."""
        self._take_changes(complete=True)

    # the storage

    def _poll(self) -> None:
        if time.monotonic() - self._polled >= self._storage.poll_seconds:
            self._take_changes(complete=False)

    def _take_changes(self, *, complete: bool) -> None:
        with self._reading:
            self._polled = time.monotonic()
            found = self._storage.changes(complete=complete)
            with self._lock:
                for item in found.items:
                    asked = self._only is None or item.digest in self._only
                    (self._state if asked else self._left_out).add([item])
                for retirement in found.retirements:
                    self._state.retire(retirement)
                    self._left_out.retire(retirement)
            self._take(found.events)

    def _take(self, events: Sequence[Event]) -> None:
        with self._lock:
            for event in events:
                # An event whose item is not known yet may be about either.
                if event.item not in self._left_out.items:
                    self._state.apply(event)
                if event.item not in self._state.items:
                    self._left_out.apply(event)

    def _lease(self, digest: str, reviewer: str) -> bool:
        """Lease an item or renew the lease, and return whether an event was needed."""
        with self._lock:
            before = self._state.response(digest, reviewer).next_n

        def decide(given: Response) -> Mapping[str, Any] | None:
            with self._lock:
                fresh_for = _RENEW_AFTER * self._state.lease_seconds(reviewer)
            age = math.inf if given.leased is None else self._clock() - given.leased
            return None if given.answer is not None or 0 <= age < fresh_for else {"kind": "leased"}

        return self._record(digest, reviewer, "", decide).next_n > before

    def _record(self, digest: str, reviewer: str, id: str, decide: Decide) -> Response:
        """Store what `decide` returns as the next event, and return the response after it.

        An event that rests on an outdated state is not stored, because its number is taken. Without an event there is
        no such check, so that the callers decide against one only after the item was read.
        """
        for _ in range(_ATTEMPTS):
            with self._lock:
                given = self._state.response(digest, reviewer)
            if id and id in given.ids:
                return given
            fields = decide(given)
            if fields is None:
                return given
            # A clock that was set back must not make an event older than the one before it.
            event = Event.model_validate(
                {
                    "item": digest,
                    "reviewer": reviewer,
                    "n": given.next_n,
                    "time": max(given.latest, self._clock()),
                    "id": id,
                    **fields,
                }
            )
            stored = self._storage.append(event)
            self._take([stored])
            if stored == event:
                with self._lock:
                    return self._state.response(digest, reviewer)
        raise StoreError(f"{self._storage.address}: item {digest[:12]} is being written by others; try again")

    # checks

    def _check_reviewer(self, reviewer: str) -> None:
        allowed = self.settings.reviewers
        if not _NAME.fullmatch(reviewer):
            raise InputError(
                f"reviewer: {reviewer!r} must be up to 64 letters, digits, spaces and `_.@+-`, and begin and "
                "end with a letter or digit",
                reason="UnknownReviewer",
            )
        if allowed and reviewer not in allowed:
            raise InputError(
                f"reviewer: {reviewer!r} is not a reviewer of {self.name}; they are {', '.join(allowed)}",
                reason="UnknownReviewer",
            )

    def _check(self, digest: str, reviewer: str, *, retired: bool = False) -> ReviewItem:
        """Return the item if `reviewer` may do something with it; `retired` ones only if that is allowed."""
        self._check_reviewer(reviewer)
        self._poll()
        with self._lock:
            item, reason = self._state.items.get(digest), self._state.retired.get(digest)
        if item is None:
            raise InputError(f"item: there is no item {digest[:12]!r} in {self.name}", reason="UnknownItem")
        if reason is not None and not retired:
            raise InputError(
                f"item: {digest[:12]} is no longer asked: {reason}. Nothing was recorded; go on with the next item",
                reason="ItemRetired",
            )
        return item


def _checked(item: ReviewItem, answer: Answer) -> Answer:
    """Return the answer in its stored form. Raises InputError for one that the item does not offer."""
    chosen = tuple(sorted(set(answer)))
    if chosen == CANNOT_SAY:
        return chosen
    keys = [choice.key for choice in item.choices]
    unknown = [key for key in chosen if key not in keys]
    if unknown:
        raise InputError(
            f"answer: {', '.join(map(repr, unknown))} is none of the choices: {', '.join(keys)} or, alone, ?",
            reason="AnswerRefused",
        )
    if not item.several and len(chosen) != 1:
        raise InputError(f"answer: choose one of {', '.join(keys)} and ?", reason="AnswerRefused")
    return chosen
