"""Goal 5: revisions that change nothing are not accepted, and the reported κ is what fresh answers find.

A placebo revision moves errors of the machine to other questions, so that its κ over all stays the same. In every round
the best of several, by answers that are used for searching, is proposed. The naive way searches, decides and reports
on one set of answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from learntoask.calibration.acceptance import AnchorLook, RevisedItem, judge_revision

from calibration_goals.domains import Domain, Question, answer_of, true_kappa
from calibration_goals.rows import Options, Row

ROUNDS = 10
PROPOSALS = 8
ANSWERS = 120  # of the anchor, and of the set for searching
FRESH = 500
MOST_ACCEPTED = 0.05
LARGEST_BIAS = 0.02
_SHARE = 0.15  # of the questions that a placebo changes

_Answers: TypeAlias = list[frozenset[str]]
"""The machine's answer to each question."""


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    accepted: int
    proposed: int
    spent: int
    bias: float
    naive_accepted: int
    naive_bias: float


def run(domains: Sequence[Domain], options: Options) -> Iterator[Row]:
    """Yield the rows of goal 5."""
    for domain in domains:
        for error in options.errors:
            yield from _rows(domain, error, options)


def _rows(domain: Domain, error: float, options: Options) -> list[Row]:
    repetitions = max(20, options.repetitions // 20)
    outcomes = [
        _simulate(domain.questions, error, np.random.default_rng([options.seed, number]))
        for number in range(repetitions)
    ]
    proposed = sum(outcome.proposed for outcome in outcomes)
    accepted = sum(outcome.accepted for outcome in outcomes) / proposed
    any_accepted = sum(outcome.accepted > 0 for outcome in outcomes) / repetitions
    naive = sum(outcome.naive_accepted for outcome in outcomes) / proposed
    bias = float(np.mean([outcome.bias for outcome in outcomes]))
    naive_bias = float(np.mean([outcome.naive_bias for outcome in outcomes]))
    about = f"{domain.machine}, reviewers wrong {error:.0%}"
    return [
        Row(
            goal=5,
            data=domain.name,
            what=f"{about}: placebo revisions accepted, {ROUNDS} rounds",
            reached=f"{accepted:.1%} (any in {any_accepted:.0%} of {repetitions}; naive {naive:.0%})",
            required=f"≤ {MOST_ACCEPTED:.0%}",
            held=accepted <= MOST_ACCEPTED,
        ),
        Row(
            goal=5,
            data=domain.name,
            what=f"{about}: reported κ − κ of {FRESH} fresh answers",
            reached=f"{bias:+.3f} (naive {naive_bias:+.3f})",
            required=f"≤ {LARGEST_BIAS:g}",
            held=bias <= LARGEST_BIAS,
        ),
    ]


def _simulate(questions: Sequence[Question], error: float, random: np.random.Generator) -> _Outcome:
    order = [int(index) for index in random.permutation(len(questions))]
    people = {index: answer_of(questions[index], error, random) for index in order}
    fresh, pool = order[:FRESH], order[FRESH:]
    search, pool = pool[:ANSWERS], pool[ANSWERS:]
    anchors = [pool[start : start + ANSWERS] for start in range(0, 2 * ANSWERS, ANSWERS)]
    machine = naive = [question.machine for question in questions]
    looks: tuple[AnchorLook, ...] = ()
    accepted = naive_accepted = spent = anchor = 0
    for number in range(ROUNDS):
        proposals = [_placebo(questions, machine, random) for _ in range(PROPOSALS)]
        best = max(proposals, key=lambda proposal: _kappa(questions, proposal, search, people))
        while True:
            decision = judge_revision(
                _items(questions, machine, best, anchors[anchor], people),
                revision=f"revision {number}",
                anchor=f"anchor {anchor}",
                looks=looks,
                seed=number,
            )
            looks = decision.looks
            if decision.outcome != "spent":
                break
            spent, anchor = spent + 1, anchor + 1
        if decision.outcome == "accepted":
            machine, accepted = best, accepted + 1
        proposals = [_placebo(questions, naive, random) for _ in range(PROPOSALS)]
        best = max(proposals, key=lambda proposal: _kappa(questions, proposal, search, people))
        if _kappa(questions, best, search, people) > _kappa(questions, naive, search, people):
            naive, naive_accepted = best, naive_accepted + 1
    return _Outcome(
        accepted=accepted,
        proposed=ROUNDS,
        spent=spent,
        bias=_kappa(questions, machine, anchors[anchor], people) - _kappa(questions, machine, fresh, None),
        naive_accepted=naive_accepted,
        naive_bias=_kappa(questions, naive, search, people) - _kappa(questions, naive, fresh, None),
    )


def _placebo(questions: Sequence[Question], machine: _Answers, random: np.random.Generator) -> _Answers:
    """Mend errors at random, and make each again in a question of the same task with the same gold answer.

    So κ over all questions stays as it is. An error without such a question is left alone.
    """
    alike: dict[tuple[str, frozenset[str]], list[int]] = defaultdict(list)
    wrong = []
    for index, (question, answer) in enumerate(zip(questions, machine, strict=True)):
        if answer == question.gold:
            alike[question.task, question.gold].append(index)
        else:
            wrong.append(index)
    found = list(machine)
    chosen = random.choice(len(wrong), min(len(wrong), int(_SHARE * len(questions) / 2)), replace=False)
    for old in (wrong[place] for place in chosen):
        others = alike[questions[old].task, questions[old].gold]
        if others:
            new = others.pop(int(random.integers(len(others))))
            found[old], found[new] = questions[old].gold, machine[old]
    return found


def _kappa(
    questions: Sequence[Question],
    machine: _Answers,
    chosen: Sequence[int],
    people: Mapping[int, frozenset[str]] | None,
) -> float:
    """Return κ of the machine with the people over the chosen questions, or with the gold data."""
    return true_kappa(
        [
            replace(
                questions[index],
                machine=machine[index],
                gold=questions[index].gold if people is None else people[index],
            )
            for index in chosen
        ]
    )


def _items(
    questions: Sequence[Question],
    before: _Answers,
    after: _Answers,
    chosen: Sequence[int],
    people: Mapping[int, frozenset[str]],
) -> list[RevisedItem]:
    return [
        RevisedItem(
            session_id=questions[index].session_id,
            choices=questions[index].choices,
            person=people[index],
            before=before[index],
            after=after[index],
        )
        for index in chosen
    ]
