"""Decide from people's answers whether a grader may be trusted: the condition GraderCalibrated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from learntoask.core.records import Record
from learntoask.statistics.bootstrap import Floats
from learntoask.statistics.inclusion import Design, inverse_weights
from learntoask.statistics.kappa import KappaEstimate, kappa_estimate, required_items

Verdict = Literal["passed", "refused", "needs_more"]
_STEP = 10  # answers; the number to ask for is a multiple


class JudgedItem(Record):
    """An item that a person and the machine answered.

    `choices` are the keys that the item offers. Each key is one binary question: does the item have it? `person`,
    `machine` and `second` (another person, None if there is none) are the keys that they chose. `inclusion` is the
    probability π with which the item was drawn from its `stratum`. A yes/no item has the one choice "yes".
    """

    session_id: str
    choices: frozenset[str]
    person: frozenset[str]
    machine: frozenset[str]
    second: frozenset[str] | None = None
    stratum: str = ""
    inclusion: float = 1.0


class GateSettings(Record):
    """What the gate requires: κ above `bound` with `confidence`, from enough items of both classes.

    After n items the looks so far may have used the share (n / `most`)^¼ of the error probability 1 − `confidence` (a
    spending function; Lan and DeMets 1983, combined here by Bonferroni, which holds even though each number of items
    depends on the answers before). Most of it is for the first look, because people mostly answer once. So a look after
    more answers does not make a false pass more likely, and there is none after `most` items. A look is only taken at
    `fewest` items with `rarer` answers of the rarer class.
    """

    bound: float = 0.6
    confidence: float = 0.95
    fewest: int = 100
    rarer: int = 20
    most: int = 450


class Look(Record):
    """A look at the answers: the number of items then, and the error probability that all looks so far have used."""

    items: int
    spent: float


class GateResult(Record):
    """The verdict with its figures.

    `low` and `high` are one-sided bounds of κ, the lower one at the confidence that this look has. `rarer` counts the
    human answers of the rarer class, over all choices. `people` is κ between two people, over the `double` items that
    both answered, with its lower bound. `more` is the number of further answers to ask for, 0 unless the verdict is
    `needs_more`. `looks` are to be given to the next decision; `low` is None as long as there is none.
    """

    verdict: Verdict
    reason: str
    kappa: float | None
    low: float | None
    high: float | None
    items: int
    rarer: int
    people: float | None
    people_low: float | None
    double: int
    more: int
    looks: tuple[Look, ...]


def decide(
    items: Sequence[JudgedItem], *, settings: GateSettings | None = None, looks: Sequence[Look] = ()
) -> GateResult:
    """Return the verdict on all `items` answered so far, given the former looks at fewer of them.

    If κ is at most the bound, any of the looks passes with probability at most 1 − `confidence`. A second look at as
    many items gives the same verdict. Raises ValueError for looks at more items than there are.
    """
    settings = settings or GateSettings()
    count, rarer = len(items), rarer_class(items)
    missing = _missing_items(count, rarer, settings)
    estimate = kappa_of([(item, item.machine) for item in items])
    double = [(item, item.second) for item in items if item.second is not None]
    people = kappa_of(double)
    taken = tuple(looks) if missing else _with_look(count, looks, settings)
    alpha = 0.0 if missing else _error_of_last(taken)
    low = estimate.lower_bound(1 - alpha) if estimate and alpha > 0 else None
    verdict, reason, more = _verdict(estimate, low, count, rarer, missing, taken, settings)
    return GateResult(
        verdict=verdict,
        reason=reason,
        kappa=estimate.value if estimate else None,
        low=low,
        high=estimate.upper_bound(settings.confidence) if estimate else None,
        items=count,
        rarer=rarer,
        people=people.value if people else None,
        people_low=people.lower_bound(settings.confidence) if people else None,
        double=len(double),
        more=more,
        looks=taken,
    )


def earlier_looks(earlier: Iterable[Sequence[JudgedItem]], settings: GateSettings) -> tuple[Look, ...]:
    """Return the looks that decisions on these parts of the items have taken."""
    counts = {len(items) for items in earlier if not _missing_items(len(items), rarer_class(items), settings)}
    return tuple(Look(items=count, spent=_spendable(count, settings)) for count in sorted(counts))


def kappa_of(pairs: Sequence[tuple[JudgedItem, frozenset[str]]]) -> KappaEstimate | None:
    """Estimate κ between the person and another answer to each item; None for no items."""
    if not pairs:
        return None
    items = [item for item, _ in pairs]
    tables = item_tables(items, [answer for _, answer in pairs])
    design = Design(
        tuple(item.session_id for item in items),
        tuple(item.stratum for item in items),
        np.array([item.inclusion for item in items]),
    )
    return kappa_estimate(tables, design) if tables.sum() > 0 else None


def item_tables(items: Sequence[JudgedItem], answers: Sequence[frozenset[str]]) -> Floats:
    """Return weighted tables, person yes/no × answer yes/no, of the choices of each item, [items, 2, 2].

    The weights are 1/π, scaled so that a choice has the mean weight 1.
    """
    tables = np.array([_table(item, answer) for item, answer in zip(items, answers, strict=True)])
    weighted = tables * inverse_weights(np.array([item.inclusion for item in items]))[:, None, None]
    total = weighted.sum()
    scaled: Floats = weighted * (tables.sum() / total if total > 0 else 1.0)
    return scaled


def rarer_class(items: Sequence[JudgedItem]) -> int:
    """Return how many choices people chose, or how many they did not choose, whichever is fewer."""
    chosen = sum(len(item.person & item.choices) for item in items)
    return min(chosen, sum(len(item.choices) for item in items) - chosen)


def _table(item: JudgedItem, answer: frozenset[str]) -> list[list[int]]:
    person, other = item.person & item.choices, answer & item.choices
    both = len(person & other)
    return [
        [both, len(person) - both],
        [len(other) - both, len(item.choices) - len(person | other)],
    ]


def _missing_items(count: int, rarer: int, settings: GateSettings) -> int:
    """Return how many more items the two minimum numbers need, by the share of the rarer class so far."""
    missing = max(0, settings.fewest - count)
    if rarer < settings.rarer:
        share = (rarer + 1) / (count + 1)  # as if the next item held one, for none may have been seen yet
        missing = max(missing, math.ceil((settings.rarer - rarer) / share))
    return missing


def _with_look(count: int, looks: Sequence[Look], settings: GateSettings) -> tuple[Look, ...]:
    last = looks[-1] if looks else Look(items=0, spent=0.0)
    if last.items > count:
        raise ValueError(f"a former look was at {last.items} items, but there are only {count}")
    if last.items == count or last.items >= settings.most:
        return tuple(looks)
    return (*looks, Look(items=count, spent=_spendable(count, settings)))


def _spendable(count: int, settings: GateSettings) -> float:
    return (1 - settings.confidence) * math.sqrt(math.sqrt(min(1.0, count / settings.most)))


def _error_of_last(looks: Sequence[Look]) -> float:
    return looks[-1].spent - (looks[-2].spent if len(looks) > 1 else 0.0)


def _verdict(
    estimate: KappaEstimate | None,
    low: float | None,
    count: int,
    rarer: int,
    missing: int,
    looks: Sequence[Look],
    settings: GateSettings,
) -> tuple[Verdict, str, int]:
    left = max(0, settings.most - count)
    if estimate is None or low is None:
        if left == 0:
            why = f"only {rarer} answers of the rarer class among {count}, {settings.rarer} are needed"
            return "refused", why, 0
        more = min(_rounded(missing), left)
        why = f"{count} of {settings.fewest} answers, {rarer} of {settings.rarer} of the rarer class"
        return "needs_more", why, more
    figures = f"κ = {estimate.value:.2f}, lower bound {low:.2f}, required {settings.bound:g}"
    if low >= settings.bound:
        return "passed", figures, 0
    high = estimate.upper_bound(settings.confidence)
    if high < settings.bound:
        return "refused", f"{figures}; it is below the required κ, since its upper bound is {high:.2f}", 0
    if left == 0:
        return "refused", f"{figures}; not shown with the most answers that the gate may use, {count}", 0
    needed = _needed(estimate, count, looks[-1].spent, settings)
    if needed is None:
        return "needs_more", f"{figures}; undecided, with little hope of passing", min(_rounded(count), left)
    if needed > left:
        why = f"{figures}; about {needed} more answers decide, of which the gate may use {left}"
        return "needs_more", why, left
    return "needs_more", f"{figures}; about {needed} more answers decide", needed


def _needed(estimate: KappaEstimate, count: int, spent: float, settings: GateSettings) -> int | None:
    """Return the fewest further items with which the next look passes with probability .8 if κ is what it seems."""
    for more in range(_STEP, settings.most - count + _STEP, _STEP):
        alpha = _spendable(count + more, settings) - spent
        needed = required_items(estimate, items=count, bound=settings.bound, confidence=1 - alpha)
        if needed is None:
            return None
        if needed <= more or count + more >= settings.most:
            return max(more, _rounded(needed))
    return None


def _rounded(count: int) -> int:
    return math.ceil(count / _STEP) * _STEP
