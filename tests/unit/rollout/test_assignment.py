"""Assignment: the arm depends on ids alone, shares follow the weights, and a raise moves nobody back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from learntoask.rollout.assignment import arm_at_birth, position


@given(st.text(), st.text())
def test_a_conversation_has_one_place_between_zero_and_one(conversation: str, rollout: str) -> None:
    place = position(conversation, rollout)
    assert 0 <= place < 1
    assert place == position(conversation, rollout)


def test_shares_are_within_a_point_of_the_weights() -> None:
    for weight in (1, 10, 50, 99):
        canary = sum(arm_at_birth(f"c{n}", "r", weight=weight) == "canary" for n in range(20_000))
        assert abs(canary / 20_000 - weight / 100) < 0.01


def test_a_canary_conversation_stays_one_at_every_greater_weight() -> None:
    for number in range(500):
        arms = [arm_at_birth(f"c{number}", "r", weight=weight) for weight in range(101)]
        assert arms == sorted(arms, reverse=True)  # control … control, canary … canary
        assert (arms[0], arms[100]) == ("control", "canary")


def test_another_rollout_divides_the_conversations_differently() -> None:
    same = sum(
        arm_at_birth(f"c{n}", "first", weight=50) == arm_at_birth(f"c{n}", "second", weight=50)
        for n in range(2000)
    )
    assert 900 < same < 1100
