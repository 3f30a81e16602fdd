"""Goal 1: the gate passes good graders within 120 answers, and bad ones seldom, however often it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from learntoask.calibration.gate import GateResult, JudgedItem, decide

from calibration_goals.domains import Domain, Question, answer_of, true_kappa, with_kappa
from calibration_goals.rows import Options, Row

FIRST = 120
POWER = 0.9
MOST_FALSE = 0.05
_SPARE = 450


@dataclass(frozen=True, kw_only=True)
class Case:
    """A true κ, and what the gate has to do there."""

    kappa: float
    within: int | None = (
        None  # answers within which it passes in POWER of the reviews; None: it must not pass
    )


CASES = (Case(kappa=0.8, within=FIRST), Case(kappa=0.7, within=_SPARE), Case(kappa=0.59))


def run(domains: Sequence[Domain], options: Options) -> Iterator[Row]:
    """Yield the rows of goal 1: on single yes/no questions as the design page counts them, and on real questions."""
    for case in CASES:
        results = _reviews(options, lambda random, case=case: _yes_no_source(case.kappa, random))
        # One yes/no answer an item is the least an item can tell; its figure for κ = .7 is at its limit.
        yield _row("yes/no", case, 0.0, results, required=case.within is None)
        for domain in domains:
            machine = with_kappa(domain.questions, case.kappa, np.random.default_rng(options.seed))
            for error in options.errors:
                results = _reviews(
                    options,
                    lambda random, machine=machine, error=error: _source(machine, error, random),
                )
                must = case.within is None or error == 0
                yield _row(domain.name, case, error, results, required=must, truth=true_kappa(machine))


Source = Callable[[int], Sequence[JudgedItem]]
"""Returns all items drawn and answered once this many are asked for."""


def _reviews(options: Options, source: Callable[[np.random.Generator], Source]) -> list[GateResult]:
    found = []
    for number in range(options.repetitions):
        answered = source(np.random.default_rng([options.seed, number]))
        count, result = FIRST, decide(answered(FIRST))
        while result.verdict == "needs_more":
            count += result.more
            items = answered(count)
            result = decide(items, looks=result.looks)
            if len(items) < count:
                break
        found.append(result)
    return found


def _yes_no_source(kappa: float, random: np.random.Generator) -> Source:
    wrong = (1 - kappa) / 4
    cells = random.choice(4, size=2 * _SPARE, p=[0.5 - wrong, wrong, wrong, 0.5 - wrong])
    yes = frozenset({"yes"})
    items = [
        JudgedItem(
            session_id=str(index),
            choices=yes,
            person=yes if cell in {0, 1} else frozenset(),
            machine=yes if cell in {0, 2} else frozenset(),
        )
        for index, cell in enumerate(cells)
    ]
    return lambda count: items[:count]


def _source(questions: Sequence[Question], error: float, random: np.random.Generator) -> Source:
    """Half of the items are drawn where the two machines differ, half among the others, without replacement."""
    differs = np.array([question.machine != question.second for question in questions])
    strata = {"disputed": random.permutation(np.nonzero(differs)[0])}
    strata["agreed"] = random.permutation(np.nonzero(~differs)[0])
    # No review asks for more, so the other items are never answered.
    items = {
        name: [
            (questions[index], answer_of(questions[index], error, random)) for index in stratum[: 2 * _SPARE]
        ]
        for name, stratum in strata.items()
    }

    def answered(count: int) -> list[JudgedItem]:
        disputed = min(count // 2, len(strata["disputed"]))
        shares = {"disputed": disputed, "agreed": min(count - disputed, len(strata["agreed"]))}
        return [
            question.item(person, name, shares[name] / len(stratum))
            for name, stratum in strata.items()
            for question, person in items[name][: shares[name]]
        ]

    return answered


def _row(
    data: str,
    case: Case,
    error: float,
    results: Sequence[GateResult],
    *,
    required: bool,
    truth: float | None = None,
) -> Row:
    passed = [result for result in results if result.verdict == "passed"]
    share = len(passed) / len(results)
    items = int(np.median([result.items for result in results]))
    what = f"κ = {truth or case.kappa:.3f}, reviewers wrong {error:.0%}"
    if case.within is None:
        return Row(
            goal=1,
            data=data,
            what=f"{what}: passes although κ is too low",
            reached=f"{share:.1%} (looks: up to {max(len(result.looks) for result in results)})",
            required=f"≤ {MOST_FALSE:.0%}",
            held=share <= MOST_FALSE if required else None,
        )
    within = sum(result.items <= case.within for result in passed) / len(results)
    return Row(
        goal=1,
        data=data,
        what=f"{what}: passes within {case.within} answers",
        reached=f"{within:.1%} (median {items} answers)",
        required=f"≥ {POWER:.0%}" if required else "",
        held=within >= POWER if required else None,
    )
