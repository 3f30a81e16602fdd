"""The bound on the share of missing grades."""

from __future__ import annotations

import pytest
from learntoask.core.errors import TooManyMissing
from learntoask.grading.grades import REFUSED, MissingGrade, require_answers


def test_missing_share_is_returned_up_to_the_bound_and_refused_above_it():
    grades, answers = [REFUSED] * 3 + [MissingGrade("unsure")], ["a", "b", "c", "d"]
    assert require_answers(grades, answers, max_missing_share=0.25, where="test") == 0.25
    with pytest.raises(TooManyMissing, match=r"1 of 4 grades are missing .*unsure") as caught:
        require_answers(grades, answers, max_missing_share=0.2, where="test")
    assert caught.value.exit_code == 3


def test_the_error_quotes_three_of_the_answers_that_have_no_grade():
    grades = [REFUSED, *[MissingGrade("unsure")] * 5, MissingGrade("away")]
    answers = ["Graded?", "First?", "First?", "Second\none?", "A long one? " * 40, "Fourth?", "Elsewhere?"]
    with pytest.raises(TooManyMissing) as caught:
        require_answers(grades, answers, max_missing_share=0.2, where="test")
    message = str(caught.value)
    assert "most often: unsure, as for 'First?', 'Second one?', 'A long one?" in message
    assert "Graded?" not in message
    assert "Fourth?" not in message
    assert "Elsewhere?" not in message
    assert len(message) < 600


def test_no_grades_are_no_missing_ones():
    assert require_answers([], [], max_missing_share=0.0, where="test") == 0.0
