"""Confidence intervals that graders' agreement and the evaluation share."""

from __future__ import annotations

import math

LEVEL = 0.95
_Z = 1.959963984540054  # the normal quantile of that level


def wilson(hits: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the share `hits` / `n` (Wilson 1927); `n` is at least 1."""
    share, spread = hits / n, _Z * _Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # At the ends one bound is the share itself, but rounding errors would move it.
    return 0.0 if hits == 0 else middle - half, 1.0 if hits == n else middle + half
