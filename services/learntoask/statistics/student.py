"""Quantiles of Student's t, without scipy."""

from __future__ import annotations

import math
from statistics import NormalDist


def student_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t with `freedom` ≥ 1 degrees of freedom (Hill 1970, algorithm 396).

    Its error is below 1e-4 from 3 degrees on; it is exact for 1 and 2. Raises ValueError outside 0…1.
    """
    if not 0 < probability < 1 or freedom < 1:
        raise ValueError("the probability must be between 0 and 1, and the degrees of freedom at least 1")
    if probability == 0.5:
        return 0.0
    sign = 1.0 if probability > 0.5 else -1.0
    tails = 2 * min(probability, 1 - probability)
    if freedom == 1:
        return sign / math.tan(tails * math.pi / 2)
    if freedom == 2:
        return sign * math.sqrt(2 / (tails * (2 - tails)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * tails) ** (2 / freedom)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tails / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        far = 1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3)
        y = ((far + 0.5 / (freedom + 4)) * y - 1) * (freedom + 1) / (freedom + 2) + 1 / y
    return sign * math.sqrt(freedom * y)
