"""Exponential back-off: how long to wait before something that failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_DOUBLINGS = 64  # every cap is reached long before, and a greater exponent would overflow


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Delays in seconds: `first` after the first failure, twice as long after each further one, at most `longest`."""

    first: float
    longest: float

    def delay(self, failures: int, *, draw: float = 1.0) -> float:
        """Return the seconds to wait after `failures` failures in a row (from 1).

        `draw` is a random number from [0, 1): it shortens the delay by up to a half (jitter), so that the clients of
        one server do not return all at once. Without it the delay is exact.
        """
        exact = min(self.longest, self.first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
        return exact * (0.5 + draw / 2)
