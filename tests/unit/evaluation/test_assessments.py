"""Assessments against a table computed by hand."""

from __future__ import annotations

import pytest
from learntoask.core.records import Decision
from learntoask.evaluation.assessments import assessment_metrics
from learntoask.evaluation.decisions import DecisionRecord, RecordedGrade


def decided(
    session: str,
    target: tuple[str, ...],
    assessment: tuple[str, ...] | None,
    *,
    malformed: bool = False,
    truth: Decision = "continue",
) -> DecisionRecord:
    return DecisionRecord(
        session=session,
        task="order",
        group="order",
        seen=True,
        turn=0,
        policy="sft",
        decoding="greedy",
        completion=0,
        response="Which dish?",
        finished=True,
        tokens=3,
        truth=truth,
        target=target,
        reporting=RecordedGrade(),
        rewarding=RecordedGrade(),
        assessment=assessment,
        malformed=malformed,
    )


def test_all_fields_of_all_continue_points_count_alike() -> None:
    found = assessment_metrics(
        [
            decided("a", ("dish", "time"), ("dish", "place")),  # 1 of 2 named, 1 of 2 needed
            decided("a", ("time",), ("time",)),
            decided("b", ("dish", "time", "place"), ()),  # a stop, or an empty tag
            decided("b", ("dish",), ("dish",), malformed=True),  # named, but does not count
            decided("b", (), ("dish",), truth="stop"),
        ],
        resamples=100,
        seed=0,
    )
    assert {name: estimate.value for name, estimate in found.items()} == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 7, "F1": 4 / 10, "malformed": 1 / 4}
    )
    assert found["malformed"].n == 4


def test_a_policy_that_does_not_assess_has_no_such_figures() -> None:
    assert assessment_metrics([decided("a", ("dish",), None)], resamples=100, seed=0) == {}
