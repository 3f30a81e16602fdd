"""Goal 2: a corrected metric is as exact as one from three times as many labels, and its interval covers.

The metric is WA-GH of a policy of known quality: at each decision point it asks an expert's question from another
session of the same task. The truth is whether the gold data say that the question asks for a field that is still
needed; the prediction is how likely the machine thinks so. No estimate is worth more than 1 / (1 − ρ²) times as many
labels, where ρ is the correlation of prediction and truth; the row shows this bound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from learntoask.statistics.prediction_powered import ppi_mean

from calibration_goals.domains import Domain, Question, answer_of
from calibration_goals.rows import Options, Row

LABELS = 60
LEAST_WORTH = 3.0
COVERAGE = (0.93, 0.97)
_ROUNDS = 5  # questions that are tried at each decision point: the population


@dataclass(frozen=True, kw_only=True)
class Population:
    """All graded completions, [items]: their sessions, machine and gold hits, and the question that was asked."""

    sessions: np.ndarray
    predictions: np.ndarray
    gold: np.ndarray
    targets: tuple[frozenset[str], ...]
    questions: tuple[Question, ...]


def population(domain: Domain, seed: int) -> Population:
    """Let the policy ask at every decision point of the domain."""
    random = np.random.default_rng(seed)
    by_task: dict[str, list[Question]] = defaultdict(list)
    for question in domain.questions:
        by_task[question.task].append(question)
    rows = []
    for _ in range(_ROUNDS):
        for point in domain.points:
            others = [one for one in by_task[point.task] if one.session_id != point.session_id]
            if others:
                question = others[int(random.integers(len(others)))]
                rows.append((point, question))
    return Population(
        sessions=np.array([point.session_id for point, _ in rows]),
        predictions=np.array([question.hit_chance(point.machine) for point, question in rows]),
        gold=np.array([float(bool(question.gold & point.gold)) for point, question in rows]),
        targets=tuple(point.gold for point, _ in rows),
        questions=tuple(question for _, question in rows),
    )


def run(domains: Sequence[Domain], options: Options) -> Iterator[Row]:
    """Yield the rows of goal 2."""
    for domain in domains:
        found = population(domain, options.seed)
        for error in options.errors:
            yield from _rows(domain, found, error, options)
        if any(point.machine != point.gold for point in domain.points):
            right = replace(
                domain,
                machine=f"{domain.machine}, right micro-goals",
                points=tuple(replace(point, machine=point.gold) for point in domain.points),
            )
            yield from _rows(right, population(right, options.seed), 0.0, options)


def _rows(domain: Domain, found: Population, error: float, options: Options) -> list[Row]:
    truth = float(found.gold.mean())
    members = _by_session(found.sessions)
    covered = plain_covered = 0
    widths, plain_widths, powers = [], [], []
    for number in range(options.repetitions):
        random = np.random.default_rng([options.seed, number])
        # Sessions are drawn with replacement, each with all its decision points: new users every time.
        drawn = [members[index] for index in random.integers(len(members), size=len(members))]
        items = np.concatenate([answers[random.integers(_ROUNDS)] for answers in drawn])
        chosen = random.choice(len(items), LABELS, replace=False)
        labels = np.full(len(items), np.nan)
        labels[chosen] = [_label(found, int(items[place]), error, random) for place in chosen]
        estimate = ppi_mean(
            labels,
            found.predictions[items],
            inclusion=np.full(len(items), LABELS / len(items)),
            sessions=[str(place) for place, answers in enumerate(drawn) for _ in answers[0]],
            bounds=(0.0, 1.0),
        )
        low, high = estimate.interval()
        covered += low <= truth <= high
        widths.append(high - low)
        powers.append(estimate.power)
        ordinary = ppi_mean(labels[chosen], np.zeros(LABELS), power=0.0)
        low, high = ordinary.interval()
        plain_covered += low <= truth <= high
        plain_widths.append(high - low)
    coverage, plain = covered / options.repetitions, plain_covered / options.repetitions
    worth = float((np.mean(plain_widths) / np.mean(widths)) ** 2)
    correlation = float(np.corrcoef(found.predictions, found.gold)[0, 1])
    bound = 1 / (1 - correlation**2)
    bias = float(found.predictions.mean() - truth)
    about = f"{domain.machine}, reviewers wrong {error:.0%}"
    exact = error == 0
    return [
        Row(
            goal=2,
            data=domain.name,
            what=f"{about}: width as of × as many labels",
            reached=f"{worth:.1f} × (λ {np.mean(powers):.2f}, ρ {correlation:.2f}, bound {bound:.1f} ×)",
            required=f"≥ {LEAST_WORTH:.0f} ×" if exact else "",
            held=worth >= LEAST_WORTH if exact else None,
        ),
        Row(
            goal=2,
            data=domain.name,
            what=f"{about}: coverage of the 95 % interval",
            reached=f"{coverage:.1%} (labels alone {plain:.1%}, machine {bias:+.3f})",
            required=f"{COVERAGE[0]:.0%}–{COVERAGE[1]:.0%}" if exact else "",
            held=COVERAGE[0] <= coverage <= COVERAGE[1] if exact else None,
        ),
    ]


def _label(found: Population, item: int, error: float, random: np.random.Generator) -> float:
    return float(bool(answer_of(found.questions[item], error, random) & found.targets[item]))


def _by_session(sessions: np.ndarray) -> list[np.ndarray]:
    """Return the items of each session by round, [rounds, decision points]; every round has the same points."""
    one_round = sessions[: len(sessions) // _ROUNDS]
    return [
        np.nonzero(one_round == name)[0][None, :] + np.arange(_ROUNDS)[:, None] * len(one_round)
        for name in np.unique(one_round)
    ]
