"""Acceptance of revisions by sealed answers: what is accepted, and how looks are counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from learntoask.calibration.acceptance import AcceptanceSettings, AnchorLook, RevisedItem, judge_revision

FIELDS = frozenset("abc")


def items(
    *, wrong_before: Sequence[int] = (), wrong_after: Sequence[int] = (), count: int = 120
) -> list[RevisedItem]:
    """Questions that ask for one field each; a wrong answer names the next field."""
    found = []
    for index in range(count):
        right, other = "abc"[index % 3], "bca"[index % 3]
        found.append(
            RevisedItem(
                session_id=f"s{index}",
                choices=FIELDS,
                person=frozenset(right),
                before=frozenset(other if index in wrong_before else right),
                after=frozenset(other if index in wrong_after else right),
            )
        )
    return found


def judged(found: list[RevisedItem], looks: Sequence[AnchorLook] = (), revision: str = "r"):
    return judge_revision(found, revision=revision, anchor="a", looks=looks)


def test_a_clear_gain_is_accepted_and_recorded() -> None:
    found = judged(items(wrong_before=range(30), wrong_after=range(5)))
    assert found.outcome == "accepted"
    (look,) = found.looks
    assert look.kappa_after - look.kappa_before == pytest.approx(25 / 120 * 1.5, abs=0.01)
    assert 0 < look.low < look.kappa_after - look.kappa_before
    assert (look.number, look.items, look.confidence) == (1, 120, pytest.approx(0.984))


def test_a_change_that_helps_as_often_as_it_hurts_is_rejected() -> None:
    found = judged(items(wrong_before=range(12), wrong_after=range(12, 24)))
    assert found.outcome == "rejected"
    assert "lower bound" in found.reason


def test_a_gain_that_ruins_one_field_is_rejected() -> None:
    before = list(range(1, 90, 3))  # asks for b, but c is named
    after = list(range(0, 24, 3))  # asks for a, but b is named
    found = judged(items(wrong_before=before, wrong_after=after))
    assert found.outcome == "rejected"
    assert found.looks[0].low > 0
    assert found.looks[0].fall > 0.05
    assert found.looks[0].fallen == "a"
    assert "κ of a falls by" in found.reason


def test_more_missing_grades_are_rejected_and_fewer_are_not() -> None:
    better = items(wrong_before=range(30), wrong_after=range(5))
    gone = [better[0].model_copy(update={"after": None}), *better[1:]]
    came = [better[0].model_copy(update={"before": None}), *better[1:]]
    assert judged(gone).outcome == "rejected"
    assert "missing" in judged(gone).reason
    assert judged(came).outcome == "accepted"


def test_the_sixth_look_is_refused_and_asks_for_fresh_items() -> None:
    bad = items(wrong_before=range(12), wrong_after=range(12, 24))
    looks: tuple[AnchorLook, ...] = ()
    for number in range(5):
        found = judged(bad, looks, f"r{number}")
        assert (found.outcome, len(found.looks)) == ("rejected", number + 1)
        looks = found.looks
    good = items(wrong_before=range(30))
    spent = judged(good, looks, "r5")
    assert (spent.outcome, spent.looks) == ("spent", looks)
    assert "fresh items" in spent.reason
    fresh = judge_revision(good, revision="r5", anchor="b", looks=looks)
    assert fresh.outcome == "accepted"
    assert [look.number for look in fresh.looks] == [1, 2, 3, 4, 5, 1]


def test_later_rounds_share_what_the_rounds_before_have_left_of_the_error() -> None:
    rounds = [AcceptanceSettings(round=number) for number in range(40)]
    errors = [settings.looks * (1 - settings.look_confidence) for settings in rounds]
    assert errors == sorted(errors, reverse=True)
    assert sum(errors) == pytest.approx(1 - AcceptanceSettings().confidence)
    slight = items(wrong_before=range(14), wrong_after=range(5))
    looks = [
        judge_revision(slight, revision="r", anchor="a", settings=settings).looks[0]
        for settings in rounds[:3]
    ]
    assert looks[0].accepted
    assert looks[0].confidence < looks[1].confidence < looks[2].confidence
    assert looks[0].low > looks[2].low


def test_a_revision_that_was_looked_at_keeps_its_outcome_and_costs_nothing() -> None:
    good = items(wrong_before=range(30), wrong_after=range(5))
    first = judged(good)
    assert judged(good, first.looks) == first
    assert judged(items(), first.looks).outcome == "accepted"


def test_turns_of_one_session_are_one_observation() -> None:
    spread = items(wrong_before=range(12), wrong_after=range(2))
    assert judged(spread).outcome == "accepted"
    together = [
        item.model_copy(update={"session_id": f"s{index // 12}"}) for index, item in enumerate(spread)
    ]
    assert judged(together).outcome == "rejected"


def test_nothing_graded_is_an_error() -> None:
    with pytest.raises(ValueError, match="no anchor item"):
        judged([item.model_copy(update={"after": None}) for item in items(count=3)])


def test_few_lucky_changes_are_no_proof() -> None:
    assert judged(items(wrong_before=range(10), wrong_after=range(3, 10))).outcome == "rejected"


def test_revisions_that_change_nothing_are_seldom_accepted() -> None:
    random = np.random.default_rng(3)
    accepted = 0
    for number in range(100):
        wrong = random.random((2, 120)) < 0.12
        before, after = (np.nonzero(row)[0].tolist() for row in wrong)
        found = judge_revision(
            items(wrong_before=before, wrong_after=after),
            revision="r",
            anchor="a",
            settings=AcceptanceSettings(largest_fall=1.0),
            seed=number,
        )
        accepted += found.outcome == "accepted"
    assert accepted <= 6  # 2 are expected; 6 are three standard deviations more
