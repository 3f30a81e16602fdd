"""The order in which a reviewer sees the choices of an item. Pure."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from learntoask.review.records import Answer, Choice, Kind, ReviewItem

_SAME_FIELDS: dict[Kind, Kind] = {"still_needed": "asks_for"}


def ordered_choices(item: ReviewItem, reviewer: str) -> tuple[Choice, ...]:
    """Return the choices in this reviewer's order, because people prefer the first choice.

    The order of two choices is the same in all items of a kind, so that hands learn it, and random over reviewers.
    Kinds that offer the same fields have the same order. Where the choices themselves change from item to item
    (`better`), it is random over items too.
    """
    order_of = item.digest if item.kind == "better" else _SAME_FIELDS.get(item.kind, item.kind)
    seed = f"{reviewer}\0{order_of}\0"
    order = _order(seed, tuple(choice.key for choice in item.choices))
    return tuple(sorted(item.choices, key=lambda choice: order.index(choice.key)))


def position_of(item: ReviewItem, reviewer: str, answer: Answer) -> int | None:
    """Return the place (from 0) of a single chosen choice on the reviewer's screen, or None for other answers."""
    if len(answer) != 1:
        return None
    keys = [choice.key for choice in ordered_choices(item, reviewer)]
    return keys.index(answer[0]) if answer[0] in keys else None


@lru_cache(maxsize=10_000)
def _order(seed: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(keys, key=lambda key: hashlib.sha256((seed + key).encode()).digest()))
