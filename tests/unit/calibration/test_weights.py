"""How many turns of the logs each turn of the anchor stands for."""

from __future__ import annotations

import pytest
from learntoask.calibration.answers import Review
from learntoask.calibration.draw.findings import GRADERS, LABELLER, Finding
from learntoask.calibration.weights import weighted
from worlds.calibration import answered

AGE = {"age": True, "duration": False, "allergies": False}


def finding(turn: int, *, differ: bool, question: bool = True) -> Finding:
    asks = dict.fromkeys((LABELLER, *GRADERS), ("age",))
    return Finding(
        session_id=f"s{turn}",
        split="test",
        task="visit",
        turn=turn,
        text="How old?",
        question=question,
        asks=asks | ({"rewarding": ("duration",)} if differ else {}),
    )


def review_of(turns: list[int]) -> Review:
    asked = [
        answered("asks_for", turn, AGE, session_id=f"s{turn}", split="anchor", stratum="anchor, question")
        for turn in turns
    ]
    others = [answered("asks_for", 99, AGE, session_id="s99", inclusion=0.25)]
    return Review(items={}, answered=[*asked, *others])


def groups(turns: list[int], findings: list[Finding]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in weighted(review_of(turns), findings).of("anchor"):
        found.setdefault(one.item.stratum, []).append(one.item.inclusion)
    return found


def test_turns_on_which_judges_differ_stand_for_those_of_the_logs() -> None:
    findings = [finding(turn, differ=turn < 20) for turn in range(100)]
    found = groups([0, 1, 2, 3, 4, 50, 51, 52, 53], findings)
    assert found["anchor, question, judges differ"] == pytest.approx([5 / 20] * 5)
    assert found["anchor, question, judges agree"] == pytest.approx([4 / 80] * 4)


def test_groups_with_hardly_an_answer_are_not_told_apart() -> None:
    findings = [finding(turn, differ=turn < 20) for turn in range(100)]
    assert groups([0, 50, 51, 52, 53], findings) == {"anchor, question": pytest.approx([5 / 100] * 5)}


def test_a_group_that_the_logs_do_not_hold_is_not_waited_for() -> None:
    findings = [finding(turn, differ=False) for turn in range(10)]
    assert groups([0, 1, 2], findings) == {"anchor, question, judges agree": pytest.approx([0.3] * 3)}


def test_items_that_are_not_of_the_anchor_keep_their_probability() -> None:
    found = weighted(review_of([0, 1, 2]), [finding(turn, differ=False) for turn in range(10)])
    (other,) = found.of("show")
    assert other.item.inclusion == 0.25
