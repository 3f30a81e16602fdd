"""Rewards against a table computed by hand from docs/method.md (β = 2, weight of F = 1)."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.manifest import Reward
from learntoask.core.records import Decision
from learntoask.grading.grades import REFUSED, Grade, MissingGrade, question_grade, stop_grade
from learntoask.grading.reward import reward

STOP = "<stop />"
TARGET = frozenset({"city", "date"})
ASK = "Which city and when?"


def asks(*fields: str, target: frozenset[str] = TARGET) -> Grade:
    return question_grade(frozenset(fields), target=target)


# response, its grade, truth, then the rewards: product, sum, ask_only, stop_only
TABLE = [
    # one right question; two right ones; one right of two; one wrong; none of the fields
    (ASK, asks("city"), "continue", 4.0, 4.0, 3.0, 4.0),
    (ASK, asks("city", "date"), "continue", 3.5, 3.5, 2.5, 3.5),
    (ASK, asks("city", "price"), "continue", 2.5, 2.5, 1.5, 3.5),
    (ASK, asks("price"), "continue", 2.0, 2.0, 1.0, 4.0),
    (ASK, asks(), "continue", 1.0, 1.0, 0.0, 3.0),
    # spraying: three asked with one hit
    (ASK, asks("city", "price", "name"), "continue", 1 + 2 / 3, 1 + 2 / 3, 2 / 3, 3.0),
    # neither a question nor a stop, or not fluent
    ("I am sorry.", REFUSED, "continue", 1.0, 1.0, 0.0, 3.0),
    ("I am sorry.", REFUSED, "stop", 0.0, 0.0, None, 0.0),
    # a question where the expert stopped: the micro-goal is empty
    (ASK, asks("city", target=frozenset()), "stop", 0.0, 1.0, None, 0.0),
    (ASK, asks("city", "date", target=frozenset()), "stop", 0.0, 0.5, None, 0.0),
    # stops: right and exact, right and wordy, too early and exact, too early and wordy
    (STOP, REFUSED, "stop", 4.0, 4.0, None, 4.0),
    (f"\n {STOP}  ", REFUSED, "stop", 4.0, 4.0, None, 4.0),
    (f"Done! {STOP}", REFUSED, "stop", 3.0, 3.0, None, 3.0),
    (STOP, REFUSED, "continue", 0.0, 1.0, 0.0, 0.0),
    (f"Which city? {STOP}", asks("city"), "continue", 0.0, 0.0, 0.0, 0.0),
    # the grader could not answer: the reward is missing for either truth; a stop needs no grader
    (ASK, MissingGrade("unsure"), "continue", None, None, None, None),
    (ASK, MissingGrade("unsure"), "stop", None, None, None, None),
    (STOP, MissingGrade("down"), "stop", 4.0, 4.0, None, 4.0),
    (STOP, MissingGrade("down"), "continue", 0.0, 1.0, 0.0, 0.0),
]
MODES = ("product", "sum", "ask_only", "stop_only")


@pytest.mark.parametrize("row", TABLE)
def test_reward_matches_the_table(row):
    response, grade, decision, *expectations = row
    for mode, expected in zip(MODES, expectations, strict=True):
        found = reward(grade, decision=decision, response=response, spec=Reward(mode=mode))
        assert found == (None if expected is None else pytest.approx(expected)), mode


def test_weights_scale_content_and_format():
    spec = Reward(content_weight=5.0, format_weight=0.25)
    grade = asks("city", "price")
    assert reward(grade, decision="continue", response=ASK, spec=spec) == pytest.approx(
        1 + 5 * 0.5 + 0.25 * 0.5
    )
    assert reward(REFUSED, decision="stop", response=STOP, spec=spec) == pytest.approx(1 + 5 + 0.25)


@pytest.mark.parametrize(("asked", "form"), [(0, 0.0), (1, 1.0), (2, 0.5), (3, 0.0), (4, 0.0)])
def test_format_counts_items_asked(asked, form):
    fields = frozenset(f"field{i}" for i in range(asked))
    assert question_grade(fields, target=frozenset()).format == form


def test_published_content_is_any_and_ours_is_the_share():
    grade = asks("city", "price", "name")
    assert (grade.content, grade.content_any) == (pytest.approx(1 / 3), 1.0)
    assert stop_grade(STOP, decision="stop").content_any == 1.0


fields_of = st.frozensets(st.sampled_from(["a", "b", "c", "d", "e"]))
grades = st.builds(
    lambda asked, target: question_grade(asked, target=target), fields_of, fields_of
) | st.just(REFUSED)
decisions = st.sampled_from(get_args(Decision))
responses = st.sampled_from([ASK, "", "word " * 90, STOP, f" {STOP}\n", f"Done {STOP}", "<stop/>"])


@given(grades, decisions, responses, st.floats(0, 10), st.floats(0, 10))
def test_rewards_stay_in_their_range(grade, decision, response, beta, weight):
    ceilings = {"product": 1 + beta + weight, "sum": 1 + beta + weight}
    ceilings |= {"ask_only": beta + weight, "stop_only": 1 + beta + weight}
    for mode, ceiling in ceilings.items():
        spec = Reward(mode=mode, content_weight=beta, format_weight=weight)
        found = reward(grade, decision=decision, response=response, spec=spec)
        assert found is None or 0.0 <= found <= ceiling + 1e-9


@given(grades, decisions, responses)
def test_a_wrong_decision_earns_nothing_where_gated(grade, decision, response):
    if ((STOP in response) and decision == "stop") or ((STOP not in response) and decision == "continue"):
        return
    for mode in ("product", "stop_only"):
        assert reward(grade, decision=decision, response=response, spec=Reward(mode=mode)) == 0.0


@given(decisions, st.sampled_from(MODES), st.text(max_size=40).filter(lambda text: STOP not in text))
def test_a_missing_grade_is_masked_in_every_mode(decision, mode, response):
    assert reward(MissingGrade("down"), decision=decision, response=response, spec=Reward(mode=mode)) is None


@given(fields_of, st.sampled_from(["a", "b", "c", "d", "e"]), fields_of)
def test_asking_one_thing_more_never_pays_without_a_hit(asked, extra, target):
    if extra in target or extra in asked:
        return
    spec = Reward()
    less = reward(question_grade(asked, target=target), decision="continue", response=ASK, spec=spec)
    more = reward(
        question_grade(asked | {extra}, target=target), decision="continue", response=ASK, spec=spec
    )
    assert asked == frozenset() or more < less or (less == more and len(asked) >= 3 and not asked & target)


@pytest.mark.parametrize(
    ("mode", "decision", "response", "gain"),
    [
        ("product", "continue", ASK, 0.25),
        ("sum", "continue", ASK, 0.25),
        ("ask_only", "continue", ASK, 0.25),
        ("stop_only", "continue", ASK, 0.25),
        ("product", "stop", ASK, 0.0),  # a wrong decision earns nothing
        ("sum", "stop", ASK, 0.25),
        ("product", "stop", STOP, 0.25),
    ],
)
def test_the_f1_of_the_assessment_is_added_with_its_weight(mode, decision, response, gain):
    rewards = [
        reward(
            asks("city"),
            decision=decision,
            response=response,
            spec=Reward(mode=mode, assessment_weight=weight),
            assessment_f1=0.5,
        )
        for weight in (0.0, 0.5)
    ]
    assert rewards[1] - rewards[0] == pytest.approx(gain)
