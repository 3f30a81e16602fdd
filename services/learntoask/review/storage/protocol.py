"""What a queue needs of its storage. Several processes may use the same storage at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from learntoask.review.records import Event, Freeze, Retirement, ReviewItem

EventKey = tuple[str, str, int]
"""Item, reviewer and number, which name an event."""


def key_of(event: Event) -> EventKey:
    return event.item, event.reviewer, event.n


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What was stored since the last call of `changes`, by this process or by others."""

    items: Sequence[ReviewItem] = ()
    retirements: Sequence[Retirement] = ()
    events: Sequence[Event] = ()


class QueueStorage(Protocol):
    """The storage of one queue. Methods may be called from several threads, and raise StoreError.

    `poll_seconds` is how often it pays to ask for changes by other processes.
    """

    address: str
    poll_seconds: float

    def add_items(self, items: Sequence[ReviewItem]) -> None:
        """Store those of the items that are not stored yet, all or none of them."""

    def retire(self, retirements: Sequence[Retirement]) -> None:
        """Store that items are no longer asked. An item's first retirement stays."""

    def keep_freeze(self, freeze: Freeze) -> None:
        """Store `freeze` unless the same answers were published before."""

    def freezes(self) -> Sequence[Freeze]:
        """Return all freezes, in the order in which they were stored."""

    def append(self, event: Event) -> Event:
        """Store `event` unless there is one of the same item, reviewer and number, and return the stored one.

        The event is safe when the call returns (a lease only from the death of this process). A call that failed or was
        killed may have stored it.
        """

    def changes(self, *, complete: bool = False) -> Changes:
        """Return what is new. With `complete` nothing is left out that was stored before the call."""

    def events_of(self, item: str) -> Sequence[Event]:
        """Return all events of one item that were stored before the call, also those that were returned before."""
