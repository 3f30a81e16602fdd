"""Agreement figures against numbers computed by hand."""

from __future__ import annotations

import pytest
from learntoask.grading.agreement import GradedQuestion, agreement, same_fields, share
from learntoask.grading.grades import REFUSED, MissingGrade, question_grade
from learntoask.grading.stage import canned_warnings

FIELDS = frozenset("abcd")


def judged(
    gold: str,
    found: str | None,
    *,
    session: str = "s",
    seen: bool = True,
    refused: bool = False,
    known: bool = False,
) -> GradedQuestion:
    """A graded question; with `found` None its grade is missing."""
    target = frozenset(gold)
    grade = MissingGrade("unsure") if found is None else question_grade(frozenset(found), target=target)
    return GradedQuestion(
        session_id=session,
        seen=seen,
        fields=FIELDS,
        gold=target,
        grade=REFUSED if refused else grade,
        known_wording=known,
    )


def test_agreement_on_questions_that_the_grader_knows_by_their_words_is_told_apart():
    canned = [judged("a", "a", session=str(n), known=True) for n in range(6)]
    new = [judged("a", "a", session="6"), judged("a", "b", session="7")]
    found = agreement(canned + new)
    assert found["known_wording"]["value"] == 0.75
    assert found["any_hit"]["value"] == 0.875
    assert found["new_wording"]["questions"] == 2
    assert found["new_wording"]["any_hit"]["value"] == 0.5
    assert found["new_wording"]["known_wording"]["value"] == 0
    nothing_else = agreement(canned)["new_wording"]
    assert nothing_else["questions"] == 0
    assert nothing_else["any_hit"] == {"value": None, "low": None, "high": None}
    assert "new_wording" not in agreement(new)


def test_figures_by_hand():
    found = agreement(
        [
            judged("a", "a", session="1"),
            judged("ab", "bc", session="1"),
            judged("c", "d", session="2"),
            judged("d", None, session="2"),
            judged("b", "", session="3", refused=True),
        ]
    )
    assert found["questions"] == 5
    assert found["sessions"] == 3
    assert found["pairs"] == 16
    values = {
        name: found[name]["value"] for name in ("any_hit", "any_hit_of_all", "exact", "missing", "refused")
    }
    assert values == {"any_hit": 0.5, "any_hit_of_all": 0.4, "exact": 0.25, "missing": 0.2, "refused": 0.2}
    # 16 pairs: 2 both, 2 only grader (c, d), 3 only gold (a, c, b), 9 neither
    assert found["pair_agreement"]["value"] == pytest.approx(11 / 16, abs=1e-4)
    chance = (4 / 16) * (5 / 16) + (12 / 16) * (11 / 16)
    assert found["kappa"]["value"] == pytest.approx((11 / 16 - chance) / (1 - chance), abs=1e-4)


def test_intervals_hold_the_value_and_shrink_with_sessions():
    def width(sessions: int) -> float:
        questions = [judged("a", "a" if n % 4 else "b", session=str(n)) for n in range(sessions)]
        figure = agreement(questions)["any_hit"]
        assert figure["low"] <= figure["value"] <= figure["high"]
        return figure["high"] - figure["low"]

    assert width(400) < width(40) / 2


def test_questions_of_one_session_stand_or_fall_together():
    one_each = agreement([judged("a", "a" if n % 2 else "b", session=str(n)) for n in range(40)])["any_hit"]
    in_pairs = agreement([judged("a", "a" if n % 2 else "b", session=str(n % 2)) for n in range(40)])[
        "any_hit"
    ]
    assert in_pairs["high"] - in_pairs["low"] > one_each["high"] - one_each["low"]


def test_groups_appear_where_there_are_both():
    both = agreement([judged("a", "a"), judged("a", "b", session="t", seen=False)])
    assert both["seen"]["any_hit"]["value"] == 1.0
    assert both["unseen"]["any_hit"]["value"] == 0.0
    assert "seen" not in agreement([judged("a", "a")])


def test_nothing_gives_no_figures_and_no_error():
    assert agreement([])["any_hit"] == {"value": None, "low": None, "high": None}
    assert share([]) == {"value": None, "low": None, "high": None, "n": 0}


def test_share_with_wilsons_interval():
    figure = share([True] * 9 + [False])
    assert figure["value"] == 0.9
    assert (figure["low"], figure["high"]) == (
        pytest.approx(0.5958, abs=1e-4),
        pytest.approx(0.9821, abs=1e-4),
    )


def test_same_findings_leaves_missing_ones_out():
    a, b = question_grade(frozenset("a"), target=FIELDS), question_grade(frozenset("b"), target=FIELDS)
    assert same_fields([a, a, MissingGrade("x"), a], [a, b, a, MissingGrade("x")]) == [True, False]


def test_an_agreement_on_canned_replies_is_a_warning_with_what_is_left():
    canned = [judged("a", "a", session=str(n), known=True) for n in range(6)]
    new = [judged("a", "a", session="6"), judged("a", "b", session="7")]
    half = [judged("a", "a", session="8"), judged("a", "a", session="9"), *new]
    (warning,) = canned_warnings(
        {"reporting": agreement(canned + new), "rewarding": agreement(half + canned[:4])}
    )
    assert warning.startswith("75% of 8 held-out questions")
    assert (
        "the reporting grader was fitted on; on the other 2 it finds an asked field in 0.5 [0.0, 1.0]"
        in warning
    )
    (warning,) = canned_warnings({"rewarding": agreement(canned)})
    assert warning.endswith("the rewarding grader was fitted on; there is no other to measure it on")
