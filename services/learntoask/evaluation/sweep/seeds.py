"""What the runs of a sweep that differ only in their seed say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from learntoask.evaluation.decisions import (
    DecisionRecord,
    in_sessions,
    read_decisions,
    truths_of,
)
from learntoask.evaluation.report_schema import ReportModel, read_report
from learntoask.evaluation.stats.metrics import REPORT_METRICS, metric_values
from learntoask.evaluation.summary import decision_sums
from learntoask.statistics.bootstrap import Floats
from learntoask.statistics.seeds import SeedDifference, SeedMean, seed_differences, seed_mean

_RESAMPLES = 2000
_RESAMPLING_SEED = 0


class SeedSummary(ReportModel):
    """The figures of a variant over its seeds (reporting grader, greedy decoding)."""

    name: str
    seeds: list[int]
    """Seeds whose runs were evaluated."""
    missing: list[int]
    """Seeds whose runs failed."""
    under_test: str = ""
    means: dict[str, dict[str, SeedMean]] = Field(default_factory=dict)
    """Policy → metric → mean and spread."""
    gain: dict[str, SeedDifference] = Field(default_factory=dict)
    """Figures of the policy under test minus those of the SFT policy of the same run."""
    against_first: dict[str, SeedDifference] = Field(default_factory=dict)
    """Figures of the policy under test minus those of the first variant with the same seed, over the sessions whose
    decision points and labels are the same in both."""


class SeedRun:
    """The greedy decisions of one run, by policy. `under_test` names the policy that the run ended with."""

    def __init__(self, under_test: str, decisions: Sequence[DecisionRecord]) -> None:
        self.under_test = under_test
        greedy = [decision for decision in decisions if decision.decoding == "greedy"]
        self.truths = truths_of(greedy)
        self.policies: dict[str, list[DecisionRecord]] = {}
        for decision in greedy:
            self.policies.setdefault(decision.policy, []).append(decision)

    @classmethod
    def read(cls, folder: Path) -> SeedRun:
        """Read the evaluation in `folder`. Raises InputError."""
        return cls(read_report(folder).under_test, read_decisions(folder))

    def sums(self, policy: str, sessions: set[str]) -> Floats:
        return decision_sums(in_sessions(self.policies[policy], sessions))


def seed_summaries(runs: Mapping[str, Mapping[int, SeedRun | None]]) -> list[SeedSummary]:
    """Return the summary of each variant, given its run for each seed (None if that failed).

    The first variant with a run is the one that the others are compared with.
    """
    done = {
        name: {seed: run for seed, run in by_seed.items() if run is not None}
        for name, by_seed in runs.items()
    }
    first = next((name for name, by_seed in done.items() if by_seed), None)
    return [
        _summary(
            name,
            by_seed,
            missing=[seed for seed, run in runs[name].items() if run is None],
            first=done[first] if first is not None and first != name else {},
        )
        for name, by_seed in done.items()
    ]


def _summary(
    name: str, runs: Mapping[int, SeedRun], *, missing: list[int], first: Mapping[int, SeedRun]
) -> SeedSummary:
    tested = [(run, run.under_test) for run in runs.values()]
    trained = [(run, "sft") for run in runs.values()]
    after_sft = all("sft" in run.policies and policy != "sft" for run, policy in tested)
    shared = [seed for seed in runs if seed in first]
    return SeedSummary(
        name=name,
        seeds=[*runs],
        missing=missing,
        under_test=tested[0][1] if tested else "",
        means=_means([*runs.values()]),
        gain=_differences(trained, tested) if after_sft else {},
        against_first=_differences(
            [(first[seed], first[seed].under_test) for seed in shared],
            [(runs[seed], runs[seed].under_test) for seed in shared],
        ),
    )


def _means(runs: Sequence[SeedRun]) -> dict[str, dict[str, SeedMean]]:
    """Return means and spreads of the metrics that are defined in every run, of policies that every run has."""
    found = {}
    for policy in runs[0].policies if runs else ():
        if all(policy in run.policies for run in runs):
            values = [metric_values(decision_sums(run.policies[policy]).sum(axis=0)) for run in runs]
            found[policy] = {
                metric: seed_mean([float(one[metric]) for one in values])
                for metric in values[0]
                if not any(np.isnan(one[metric]) for one in values)
            }
    return found


def _differences(
    before: Sequence[tuple[SeedRun, str]], after: Sequence[tuple[SeedRun, str]]
) -> dict[str, SeedDifference]:
    """Compare policies of runs with the same seeds in the same order, on the sessions that all of them share."""
    truths = [run.truths for run, _ in [*before, *after]]
    shared = {
        session
        for session, points in (truths[0] if truths else {}).items()
        if all(other.get(session) == points for other in truths[1:])
    }
    if not shared:
        return {}
    return seed_differences(
        *([run.sums(policy, shared) for run, policy in side] for side in (before, after)),
        REPORT_METRICS,
        resamples=_RESAMPLES,
        seed=_RESAMPLING_SEED,
    )
