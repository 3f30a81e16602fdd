"""Systematic samples whose inclusion probabilities are known."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeVar

Unit = TypeVar("Unit")


def systematic(
    units: Sequence[Unit], count: float, draw: random.Random, *, sizes: Sequence[float] | None = None
) -> list[tuple[Unit, float]]:
    """Return a sample of about `count` of the `units`, each with its probability of inclusion, in their order.

    Every so manieth unit is taken from a random start (Madow 1949), so that units which follow each other in the given
    order are represented evenly. The probability of a unit is proportional to its size, at most 1; without `sizes` all
    are equal.
    """
    if not units or count <= 0:
        return []
    weights = list(sizes) if sizes is not None else [1.0] * len(units)
    inclusion = _inclusion(weights, min(count, len(units)))
    start, passed, found = draw.random(), 0.0, []
    for unit, chance in zip(units, inclusion, strict=True):
        before, passed = passed, passed + chance
        # A unit is hit if a whole number plus the random start lies in its stretch [before, passed).
        if chance >= 1 or math.ceil(passed - start) > math.ceil(before - start):
            found.append((unit, chance))
    return found


def _inclusion(sizes: Sequence[float], count: float) -> list[float]:
    """Return probabilities that are proportional to `sizes` and add up to `count`, each at most 1."""
    certain: set[int] = set()
    while True:
        rest = sum(size for place, size in enumerate(sizes) if place not in certain)
        scale = (count - len(certain)) / rest if rest else 0.0
        new = {place for place, size in enumerate(sizes) if place not in certain and size * scale >= 1}
        if not new:
            return [1.0 if place in certain else size * scale for place, size in enumerate(sizes)]
        certain |= new
