"""What runs that differ in their seed say together."""

from __future__ import annotations

import random

import pytest
from learntoask.evaluation.decisions import DecisionRecord, RecordedGrade
from learntoask.evaluation.sweep.seeds import SeedRun, seed_summaries


def run(hits: dict[str, float], *, seed: int, sessions: int = 80, target: str = "age") -> SeedRun:
    """A run whose policies ask for what is needed in these shares of the turns."""
    draw = random.Random(seed)
    decisions = [
        DecisionRecord(
            session=f"s{number}",
            task="t",
            group="t",
            seen=True,
            turn=turn,
            policy=policy,
            decoding="greedy",
            completion=0,
            response="How old?",
            finished=True,
            tokens=3,
            truth="continue",
            target=(target,),
            reporting=grade,
            rewarding=grade,
        )
        for number in range(sessions)
        for turn in range(3)
        for policy, share in hits.items()
        for hit in (float(draw.random() < share),)
        for grade in (RecordedGrade(content=hit, content_any=hit, asked=("age",), is_question=True),)
    ]
    return SeedRun([*hits][-1], decisions)


def test_a_gain_that_every_seed_shows_is_significant_and_one_that_seeds_disagree_on_is_not() -> None:
    gains = {"same": (0.2, 0.2, 0.2), "apart": (0.4, 0.05, 0.15)}
    runs = {
        name: {
            seed: run({"sft": 0.5, "grpo": 0.5 + gain}, seed=10 * place + seed)
            for seed, gain in enumerate(of_seeds)
        }
        for place, (name, of_seeds) in enumerate(gains.items())
    }
    same, apart = seed_summaries(runs)
    assert same.gain["WA-GH"].value == pytest.approx(0.2, abs=0.06)
    assert same.gain["WA-GH"].significant
    assert apart.gain["WA-GH"].value == pytest.approx(0.2, abs=0.06)
    assert not apart.gain["WA-GH"].significant
    assert apart.means["grpo"]["WA-GH"].spread > same.means["grpo"]["WA-GH"].spread
    assert same.against_first == {}
    assert apart.against_first["WA-GH"].seeds == 3
    assert apart.against_first["WA-GH"].sessions == 80


def test_runs_that_failed_are_named_and_only_equal_seeds_are_compared() -> None:
    runs = {
        "first": {0: None, 1: run({"sft": 0.5}, seed=1), 2: run({"sft": 0.5}, seed=2)},
        "second": {0: run({"sft": 0.9}, seed=3), 1: run({"sft": 0.9}, seed=4), 2: None},
        "lost": {0: None, 1: None, 2: None},
    }
    first, second, lost = seed_summaries(runs)
    assert (first.seeds, first.missing) == ([1, 2], [0])
    assert first.gain == {}  # nothing follows SFT
    assert second.against_first["WA-GH"].seeds == 1
    assert second.against_first["WA-GH"].low is None
    assert (lost.seeds, lost.means, lost.under_test) == ([], {}, "")


def test_sessions_with_other_labels_are_not_compared() -> None:
    runs = {
        "first": {seed: run({"sft": 0.5}, seed=seed) for seed in (0, 1)},
        "other labels": {seed: run({"sft": 0.5}, seed=seed, target="duration") for seed in (0, 1)},
    }
    assert seed_summaries(runs)[1].against_first == {}
