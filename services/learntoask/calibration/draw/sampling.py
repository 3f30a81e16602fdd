"""Systematic samples whose inclusion probabilities are known, and samples of which a smaller one is a part."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

Unit = TypeVar("Unit")
_POINTS = 16  # points for each unit before those that were not hit follow in their order


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


def nested(
    units: Sequence[Unit], count: int, draw: random.Random, *, sizes: Sequence[float] | None = None
) -> list[tuple[Unit, float]]:
    """Return a sample of `count` of the `units`, each with about its probability of inclusion, in the order drawn.

    With the same random numbers, a larger sample begins with the smaller one, so that a larger budget asks for nothing
    again. The units lie one after another with lengths by their sizes; points at a random start plus the sequence of
    van der Corput (1935) hit them, so that each beginning of the sample represents neighbours about evenly.
    """
    if not units or count <= 0:
        return []
    weights = list(sizes) if sizes is not None else [1.0] * len(units)
    count = min(count, len(units))
    inclusion = _inclusion(weights, count)
    ends, start, hit = list(accumulate(weights)), draw.random(), dict[int, None]()
    for number in range(_POINTS * len(units)):
        hit.setdefault(
            bisect_right(ends, (start + _van_der_corput(number)) % 1.0 * ends[-1], hi=len(units) - 1)
        )
        if len(hit) == count:
            break
    for place in range(len(units)):  # units that are too small to be hit
        if len(hit) < count:
            hit.setdefault(place)
    return [(units[place], inclusion[place]) for place in hit]


def _van_der_corput(number: int) -> float:
    """Return the binary digits of `number`, mirrored at the point, in [0, 1)."""
    return int(f"{number:b}"[::-1], 2) / 2.0 ** number.bit_length()


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
