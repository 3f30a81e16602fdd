"""E-processes that compare the chance of an event in two arms with randomised assignment.

They are the E-variables of Turner, Ly and Grünwald (2024) for one observation at a time: with the arm drawn at random
the pair (arm, event) is an observation from one distribution, the null hypothesis is a convex set of such
distributions, and the likelihood ratio against the null distribution that is closest to an alternative (the reverse
information projection) is at most 1 on average under every null distribution (Grünwald, de Heide and Koolen 2024). A
mixture over alternatives is fixed in advance, so the evidence depends on counts alone. Chances may drift as long as
both arms drift together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from learntoask.statistics.bootstrap import Floats
from learntoask.statistics.e_process import log_mean_exp

_GRID = 20  # chances per arm
_EQUAL_GRID = 40  # chances that both arms share
_EDGE = 1e-9
_HALVINGS = 50


@dataclass(frozen=True, kw_only=True)
class ArmCounts:
    """Observations made while new ones went to the canary with probability `share`, in 0…1 without the ends."""

    share: float
    canary_events: int
    canary: int
    control_events: int
    control: int

    def __post_init__(self) -> None:
        """Raise ValueError for impossible counts."""
        if not 0 < self.share < 1:
            raise ValueError(f"the share of the canary is {self.share}; it must lie between 0 and 1")
        if not (0 <= self.canary_events <= self.canary and 0 <= self.control_events <= self.control):
            raise ValueError("events must not outnumber the observations of their arm")

    def cells(self) -> Floats:
        """Return the counts of control without and with the event, then of the canary, [4]."""
        return np.array(
            [
                self.control - self.control_events,
                self.control_events,
                self.canary - self.canary_events,
                self.canary_events,
            ],
            dtype=np.float64,
        )

    def without_events(self) -> ArmCounts:
        """Count the observations without the event as events."""
        return ArmCounts(
            share=self.share,
            canary_events=self.canary - self.canary_events,
            canary=self.canary,
            control_events=self.control - self.control_events,
            control=self.control,
        )


Question = Literal["more", "not_worse"]
"""`more`: the canary's chance of a harmful event exceeds the control's. `not_worse`: it exceeds the control's by less
than a margin."""


def more_events_log_e(steps: Sequence[ArmCounts], *, margin: float = 0.0) -> float:
    """Return the log evidence against "the canary's chance of the event is at most the control's plus `margin`".

    For a harmful event it is evidence of harm. `steps` are the counts of every share that was in force.
    """
    if margin == 0:  # verdicts ask this after every conversation, and intervals ask about other margins once
        return _log_e(steps, lambda share: evidence_table("more", share, margin))
    control, canary = _alternatives(margin)
    return _log_e(steps, lambda share: _log_ratios(control, canary, share, margin))


def fewer_events_log_e(steps: Sequence[ArmCounts], *, margin: float = 0.0) -> float:
    """Return the log evidence against "the canary's chance of the event is at least the control's plus `margin`"."""
    return more_events_log_e([step.without_events() for step in steps], margin=-margin)


def not_worse_log_e(steps: Sequence[ArmCounts], *, margin: float) -> float:
    """Return the log evidence against "the canary's chance of a harmful event is worse by `margin` or more".

    It is strongest where both arms are equal, which is what a promotion expects; the evidence of
    `fewer_events_log_e` is strongest where the canary is better. Raises ValueError unless 0 < margin < 1.
    """
    if not 0 < margin < 1:
        raise ValueError(f"the margin is {margin}; it must lie between 0 and 1")
    return _log_e(steps, lambda share: evidence_table("not_worse", share, margin))


@lru_cache(maxsize=256)
def evidence_table(question: Question, share: float, margin: float) -> Floats:
    """Return what one observation adds to the log evidence of each alternative, [4, alternatives].

    Rows are the cells of `ArmCounts.cells`. The logarithm of the mean of exp(sum of rows) over alternatives is the log
    evidence of `more_events_log_e` or `not_worse_log_e`. The alternatives depend on question and margin alone, so rows
    of several shares add up.
    """
    if question == "more":
        return _log_ratios(*_alternatives(margin), share, margin)
    equal = (np.arange(_EQUAL_GRID) + 0.5) / _EQUAL_GRID
    # "Not worse" asks whether there are more observations without the event than the control has, minus the margin.
    return _log_ratios(equal, equal, share, -margin)[[1, 0, 3, 2]]


def growth(*, share: float, canary: float, control: float, margin: float = 0.0) -> float:
    """Return how much the log evidence of "canary > control + margin" grows per observation if these are the chances.

    log(1/α) over it is about the number of observations that a verdict takes. 0 where the hypothesis is false.
    """
    if canary <= control + margin:
        return 0.0
    control_chance, canary_chance = np.array([control]), np.array([canary])
    ratios = _log_ratios(control_chance, canary_chance, share, margin)[:, 0]
    chances = np.array(
        [
            (1 - share) * (1 - control),
            (1 - share) * control,
            share * (1 - canary),
            share * canary,
        ]
    )
    return float(chances @ np.where(chances > 0, ratios, 0.0))


def difference_interval(steps: Sequence[ArmCounts], *, alpha: float) -> tuple[float, float]:
    """Return the confidence sequence of canary − control at this time; it covers at all times with 1 − `alpha`.

    It holds the differences that neither of the two one-sided e-processes rejects at α/2.
    """
    limit = math.log(2 / alpha)
    low = _boundary(lambda null: more_events_log_e(steps, margin=null), limit, end=-1.0)
    high = _boundary(lambda null: fewer_events_log_e(steps, margin=null), limit, end=1.0)
    return low, high


def _boundary(log_e: Callable[[float], float], limit: float, *, end: float) -> float:
    """Return the difference farthest from `end` that is rejected together with all between; `end` if none is."""
    rejected, kept = end * (1 - 1e-6), -end * (1 - 1e-6)
    if log_e(rejected) < limit:
        return end
    for _ in range(_HALVINGS):
        middle = (rejected + kept) / 2
        rejected, kept = (middle, kept) if log_e(middle) >= limit else (rejected, middle)
    return rejected


def _alternatives(margin: float) -> tuple[Floats, Floats]:
    """Return chances (control, canary) with canary > control + margin, both [alternatives]."""
    chances = (np.arange(_GRID) + 0.5) / _GRID
    control, canary = (grid.ravel() for grid in np.meshgrid(chances, chances))
    beyond = canary > control + margin + _EDGE
    return control[beyond], canary[beyond]


def _log_e(steps: Sequence[ArmCounts], table: Callable[[float], Floats]) -> float:
    """Return the log evidence; `table` has what one observation at a share adds to it (see `evidence_table`)."""
    wealth = np.sum([step.cells() @ table(step.share) for step in steps], axis=0)
    return log_mean_exp(wealth) if np.size(wealth) and steps else 0.0


def _log_ratios(control: Floats, canary: Floats, share: float, margin: float) -> Floats:
    """Return log of alternative over closest null probability by cell and alternative, [4, alternatives]."""
    null_control = _projection(control, canary, share, margin)
    null_canary = null_control + margin
    with np.errstate(divide="ignore"):
        found: Floats = np.log(
            np.stack(
                [
                    (1 - control) / (1 - null_control),
                    control / null_control,
                    (1 - canary) / (1 - null_canary),
                    canary / null_canary,
                ]
            )
        )
    return found


def _projection(control: Floats, canary: Floats, share: float, margin: float) -> Floats:
    """Return the control's chance q of the null distribution (q, q + margin) with the least divergence from each
    alternative. The divergence is convex in q, so its derivative is bisected.
    """
    if margin == 0:
        mixed: Floats = (1 - share) * control + share * canary
        return mixed
    low = np.full_like(control, max(0.0, -margin) + _EDGE)
    high = np.full_like(control, min(1.0, 1 - margin) - _EDGE)
    for _ in range(_HALVINGS):
        q = (low + high) / 2
        moved = q + margin
        slope = (1 - share) * (q - control) / (q * (1 - q)) + share * (moved - canary) / (moved * (1 - moved))
        low, high = np.where(slope < 0, q, low), np.where(slope < 0, high, q)
    middle: Floats = (low + high) / 2
    return middle
