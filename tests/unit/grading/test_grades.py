"""Bound on missing grades."""

from __future__ import annotations

import pytest
from learntoask.core.errors import TooManyMissing
from learntoask.grading.grades import REFUSED, Missing, require_answers


def test_missing_share_is_returned_up_to_the_bound_and_refused_above_it():
    grades = [REFUSED] * 3 + [Missing("unsure")]
    assert require_answers(grades, max_missing_share=0.25, where="test") == 0.25
    with pytest.raises(TooManyMissing, match=r"1 of 4 grades are missing .*unsure") as caught:
        require_answers(grades, max_missing_share=0.2, where="test")
    assert caught.value.exit_code == 3


def test_no_grades_are_no_missing_ones():
    assert require_answers([], max_missing_share=0.0, where="test") == 0.0
