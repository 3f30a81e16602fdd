"""Metrics that are corrected by what people say is true."""

from __future__ import annotations

import random

import pytest
from learntoask.calibration.truth import HumanPoint
from learntoask.evaluation.corrected import corrected_metrics
from learntoask.evaluation.decisions import DecisionRecord, RecordedGrade

FIELDS = ("age", "duration", "allergies")


def decision(session: str, turn: int, asked: str, target: tuple[str, ...]) -> DecisionRecord:
    hit = asked in target
    grade = RecordedGrade(
        content=float(hit), content_any=float(hit), format=1.0, asked=(asked,), is_question=True
    )
    return DecisionRecord(
        session=session,
        task="t",
        group="t",
        seen=True,
        turn=turn,
        policy="sft",
        decoding="greedy",
        completion=0,
        response=f"{asked}?",
        finished=True,
        tokens=3,
        truth="continue",
        target=target,
        reporting=grade,
        rewarding=grade,
    )


def logs(wrong: float, *, seed: int) -> tuple[list[DecisionRecord], dict[tuple[str, int], HumanPoint]]:
    """Decisions on 200 sessions whose labels lack the right field in the share `wrong`, and the truth about all."""
    draw = random.Random(seed)
    decisions, truth = [], {}
    for number in range(200):
        session = f"s{number}"
        for turn in range(3):
            right = draw.choice(FIELDS)
            asked = right if draw.random() < 0.8 else draw.choice(FIELDS)
            labelled = (right,) if draw.random() >= wrong else ("other",)
            decisions.append(decision(session, turn, asked, labelled))
            truth[session, turn] = HumanPoint(
                session_id=session,
                turn=turn,
                decision="continue",
                target=frozenset({right}),
                stratum="s",
                inclusion=0.2,
            )
    return decisions, truth


def test_few_answers_undo_what_wrong_labels_cost_a_policy() -> None:
    decisions, truth = logs(wrong=0.3, seed=1)
    asked = {f"s{number}" for number in random.Random(2).sample(range(200), 40)}
    points = [point for point in truth.values() if point.session_id in asked]
    right = sum(record.reporting.asked[0] in truth[record.point].target for record in decisions) / len(
        decisions
    )
    plain = sum(record.reporting.content_any for record in decisions) / len(decisions)
    found = corrected_metrics(decisions, points)["WA-GH"]
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert plain < right - 0.2
    assert abs(found.value - right) < 0.08
    assert found.low < right < found.high
    assert found.n == 120


def test_right_labels_are_left_as_they_are() -> None:
    decisions, truth = logs(wrong=0.0, seed=3)
    points = [point for point in truth.values() if int(point.session_id[1:]) < 30]
    plain = sum(record.reporting.content_any for record in decisions) / len(decisions)
    found = corrected_metrics(decisions, points)
    assert found["WA-GH"].value == pytest.approx(plain, abs=0.01)
    assert found["WS-continue"].value == pytest.approx(1.0)
    assert found["WS-stop"].value is None


def test_a_stop_that_people_see_where_the_labels_see_a_question_counts_against_the_policy() -> None:
    decisions, truth = logs(wrong=0.0, seed=4)
    points = [
        point.model_copy(update={"decision": "stop", "target": frozenset()}) if point.turn == 2 else point
        for point in truth.values()
    ]
    found = corrected_metrics(decisions, points)
    assert found["WS-stop"].value == pytest.approx(0.0)
    assert found["TA"].value == pytest.approx(2 / 3)


def test_the_truth_of_a_few_sessions_corrects_nothing() -> None:
    decisions, truth = logs(wrong=0.3, seed=5)
    points = [point for point in truth.values() if int(point.session_id[1:]) < 4]
    assert corrected_metrics(decisions, points) == {}
    assert corrected_metrics(decisions, []) == {}
