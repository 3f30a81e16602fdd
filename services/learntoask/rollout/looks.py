"""Keeps a bounded history of looks: the newest ones, and older ones at growing distances."""

from __future__ import annotations

from collections.abc import Sequence

from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.rollout import Look

LONGEST = 40
_GROWTH = 1.05  # a look is kept when there are this many times as many conversations as at the last one
_DAY = 86_400.0
_SHORTEST_DAY = 600.0  # seconds of traffic that tell a day's


def is_worth_keeping(looks: Sequence[Look], look: Look) -> bool:
    """Return whether enough conversations came since the last look."""
    return not looks or look.conversations >= max(
        looks[-1].conversations + 1, looks[-1].conversations * _GROWTH
    )


def with_look(looks: Sequence[Look], look: Look) -> tuple[Look, ...]:
    """Return the history with one more look. When it is full, every second of the older looks is left out."""
    kept = [*looks, look]
    if len(kept) > LONGEST:
        half = LONGEST // 2
        kept = [kept[0], *kept[1:half:2], *kept[half:]]
    return tuple(kept)


def conversations_per_day(looks: Sequence[Look], *, started: str, born: int, now: float) -> float | None:
    """Return today's traffic: conversations born in the last day, or since the start. None if it cannot be told yet."""
    since, before = seconds_of(started), 0
    for look in looks:
        if seconds_of(look.time) <= now - _DAY:
            since, before = seconds_of(look.time), look.conversations
    return (born - before) / (now - since) * _DAY if now - since >= _SHORTEST_DAY else None
