"""The decision which item a reviewer is asked next. Pure: the same state gives the same item.

Repeats and known items take fixed places among a reviewer's questions, one in each block of `repeat_every` and
`known_every` questions, so that a reviewer has seen enough of them early. The places and the order within them depend
on the seed and on the reviewer's name only.

Questions about one conversation are spread, where there are others, because people skip what they seem to know. One
that would show what another one hides waits until that is answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from typing import Literal

from learntoask.core.digest import digest_of
from learntoask.review.records import ReviewItem
from learntoask.review.state import QueueState

# Of so many questions one was drawn at random. More would take longer to show who copies the machine.
_AUDIT_EVERY = 4
_REST_BEFORE_REPEAT = 8  # questions between an item and its repeat, so that it is not simply remembered
_SPREAD = 6  # latest questions whose conversations are avoided
_RELIABLE_MEDIAN = 3  # answers from which on a reviewer's own median of a kind is used
Purpose = Literal["known", "repeat"]
Reason = Literal["conflict", "draft", "known", "repeat", "completion", "information", "audit", "skipped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NextItem:
    """The item to ask, its digest, and why it is its turn. The page keeps `reason` to itself until the answer."""

    item: ReviewItem
    digest: str
    reason: Reason


def next_item(
    state: QueueState,
    reviewer: str,
    *,
    now: float,
    besides: Collection[str] = (),
    adjudicates: bool = False,
) -> NextItem | None:
    """Return the item to ask `reviewer` next, or None if there is nothing to ask at this time.

    One who `adjudicates` is first asked about items that others answered differently.

    `besides` are digests of items that the reviewer has on the screen already; a page that fetches the next card early
    names the current one. `now` is in seconds since the epoch.
    """
    if adjudicates:
        for digest in sorted(state.conflicts):
            if digest not in besides and state.response(digest, reviewer).answer is None:
                return NextItem(item=state.items[digest], digest=digest, reason="conflict")
    recent = _recent_sessions(state, reviewer, besides)

    def is_free(digest: str) -> bool:
        return digest not in besides and state.wants(digest, reviewer, now=now)

    def is_apart(digest: str) -> bool:
        item = state.items[digest]
        return (
            is_free(digest)
            and item.origin.session_id not in recent
            and not any(
                _would_show(item, state.items[other]) and state.wants(other, reviewer, now=now)
                for other in state.hiding.get(item.origin.session_id, ())
                if other != digest
            )
        )

    for wanted in (is_apart, is_free):
        for reason, digest in _candidates(state, reviewer, besides, wanted):
            # Places of known and repeated items are fixed, and what is on the screen already stays there.
            if (is_free if reason in ("draft", "known", "repeat") else wanted)(digest):
                return NextItem(item=state.items[digest], digest=digest, reason=reason)
    return None


def questions_left(state: QueueState, reviewer: str) -> int:
    """Return how many questions `reviewer` would still be asked if nobody else answered, checks included."""
    own, settings = state.reviewers[reviewer], state.settings
    required = state.open.count(own.answered)
    known = sum(1 for digest in state.known if digest not in own.answered and digest not in state.retired)
    unrepeated = sum(1 for digest in own.answered if state.repeat_of.get(digest, digest) not in own.answered)
    place, left = len(own.answered), required
    first = max(place, _REST_BEFORE_REPEAT + 1)  # before that there is nothing to repeat
    while True:  # more questions have room for more checks
        last = place + left
        checks = min(known, _places("known", settings.known_every, state, reviewer, place, last))
        repeats = min(
            unrepeated + required, _places("repeat", settings.repeat_every, state, reviewer, first, last)
        )
        if required + checks + repeats == left:
            return left
        left = required + checks + repeats


def _places(purpose: Purpose, every: int, state: QueueState, reviewer: str, first: int, last: int) -> int:
    """Return how many of the places `first` to `last` are for `purpose`."""
    if every == 0 or last < first:
        return 0
    blocks = range(first // every, last // every + 1)
    inner = max(0, len(blocks) - 2)
    return inner + sum(
        1
        for block in {blocks[0], blocks[-1]}
        if first <= block * every + _slot(purpose, every, state, reviewer, block) <= last
    )


def _recent_sessions(state: QueueState, reviewer: str, besides: Collection[str]) -> set[str]:
    own = state.reviewers[reviewer].answered
    latest = [*nlargest(_SPREAD, own, key=own.__getitem__), *besides]
    return {state.items[digest].origin.session_id for digest in latest if digest in state.items}


def _would_show(item: ReviewItem, hiding: ReviewItem) -> bool:
    """Whether `item`, about the same conversation, shows a message that `hiding` does not show before its answer."""
    return item.shown > hiding.shown


def _candidates(
    state: QueueState, reviewer: str, besides: Collection[str], wanted: Callable[[str], bool]
) -> Iterator[tuple[Reason, str]]:
    """Iterate over reason and digest of the items to ask, best first. The caller leaves out those not wanted."""
    own = state.reviewers[reviewer]
    # An answer that was taken back comes first, and the latest of several.
    undone = [digest for digest in own.drafts if state.response(digest, reviewer).seen]
    for digest in sorted(undone, key=own.drafts.__getitem__, reverse=True):
        yield "draft", digest
    for digest in sorted(own.drafts.keys() - undone, key=own.drafts.__getitem__):
        yield "draft", digest
    place = len(own.answered) + sum(1 for digest in besides if digest in own.drafts)
    if _is_place_of("known", state.settings.known_every, state, reviewer, place):
        for digest in _known(state, reviewer):
            yield "known", digest
    if _is_place_of("repeat", state.settings.repeat_every, state, reviewer, place):
        for digest in _repeats(state, reviewer):
            yield "repeat", digest
    begun = state.open.begun
    for digest in sorted(begun, key=lambda digest: (begun[digest], digest)):
        if digest not in own.skipped:
            yield "completion", digest
    informative: list[tuple[Reason, str]] = [
        ("information", digest) for digest in _informative(state, reviewer, wanted)
    ]
    audit: Iterator[tuple[Reason, str]] = (
        ("audit", digest) for digest in state.open.audit() if digest not in own.skipped
    )
    # Items drawn at random take turns with the disputed ones. A review that ends early can then be measured, too, and
    # they are not all answered by people who have seen the machine's votes a hundred times.
    first: tuple[Iterable[tuple[Reason, str]], ...] = (
        (audit, informative) if place % _AUDIT_EVERY == _AUDIT_EVERY - 1 else (informative, audit)
    )
    yield from itertools.chain(*first)
    for digest in sorted(own.skipped, key=own.skipped.__getitem__):
        yield "skipped", digest


def _informative(state: QueueState, reviewer: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """Yield the best wanted item of each kind that is disputed, by expected information (bits) per expected second."""
    own, best = state.reviewers[reviewer], []
    for kind in state.open.kinds():
        for bits, digest in state.open.disputed(kind):
            if digest in own.skipped or not wanted(digest):
                continue
            overall = state.by_kind[kind].median(1.0)
            seconds = own.by_kind[kind].median(1.0) if len(own.by_kind[kind]) >= _RELIABLE_MEDIAN else overall
            best.append((-bits / seconds, digest))
            break
    yield from (digest for _, digest in sorted(best))


def _known(state: QueueState, reviewer: str) -> list[str]:
    """Return the known items for a reviewer: first those that the machine gets wrong, because they tell most."""
    return sorted(
        (digest for digest in state.known if digest not in state.reviewers[reviewer].skipped),
        key=lambda digest: (
            state.machine[digest] in (None, state.items[digest].expected),
            digest_of([state.settings.seed, reviewer, digest]),
        ),
    )


def _repeats(state: QueueState, reviewer: str) -> list[str]:
    own = state.reviewers[reviewer].answered
    older = sorted(own, key=own.__getitem__)[: max(0, len(own) - _REST_BEFORE_REPEAT)]
    asked_again = [state.repeat_of[digest] for digest in older if digest in state.repeat_of]
    return sorted(asked_again, key=lambda digest: digest_of([state.settings.seed, reviewer, digest]))


def _is_place_of(purpose: Purpose, every: int, state: QueueState, reviewer: str, place: int) -> bool:
    """Whether question number `place` (from 0) of a reviewer is a repeat, or a known item. One in `every` is."""
    return every > 0 and place % every == _slot(purpose, every, state, reviewer, place // every)


def _slot(purpose: Purpose, every: int, state: QueueState, reviewer: str, block: int) -> int:
    """Return the place, within a block of `every` questions, of the one that is a repeat, or a known item."""
    drawn = int(digest_of([state.settings.seed, reviewer, purpose, block])[:8], 16)
    # A repeat needs something to repeat, so that it comes in the second half of its block and known items in the first.
    half = every // 2
    return half + drawn % (every - half) if purpose == "repeat" else drawn % max(1, half)
