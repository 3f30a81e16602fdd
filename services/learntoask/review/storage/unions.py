"""Additions to the items, the retirements and the freezes of a queue. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from learntoask.core.records import Record
from learntoask.review.records import Freeze, Retirement, ReviewItem

RecordType = TypeVar("RecordType", bound=Record)


def with_items(known: Sequence[ReviewItem], added: Sequence[ReviewItem]) -> list[ReviewItem]:
    """Return the known items and those of `added` that are none of them, in this order."""
    return _union(known, added, lambda item: item.digest)


def with_retirements(known: Sequence[Retirement], added: Sequence[Retirement]) -> list[Retirement]:
    """Return the known retirements and those of `added` whose item is not retired yet."""
    return _union(known, added, lambda retirement: retirement.item)


def with_freeze(known: Sequence[Freeze], added: Freeze) -> list[Freeze]:
    """Return the known freezes, and `added` unless the same answers were published before."""
    return _union(known, [added], lambda freeze: freeze.answers)


def _union(
    known: Sequence[RecordType], added: Sequence[RecordType], key: Callable[[RecordType], str]
) -> list[RecordType]:
    found: dict[str, RecordType] = {}
    for record in (*known, *added):
        found.setdefault(key(record), record)
    return list(found.values())
