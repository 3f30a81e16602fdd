"""Repeated questions at decision points of logs whose pack has no patterns."""

from __future__ import annotations

import pytest
from learntoask.core.records import LabelledSession
from learntoask.evaluation.decisions import UngradedDecision, contexts, grade_decisions
from learntoask.evaluation.repeats import repetitions_of
from learntoask.labeling.repeated_questions import RepeatReader
from worlds.evaluation import PACK, NameGrader, labelled


def repetition(
    session: LabelledSession,
    response: str,
    *,
    served: str | None = None,
    target: tuple[str, ...] = ("seats",),
) -> tuple[str | None, str | None]:
    """How an answer at the second turn, and what is served in its place, repeat a question."""
    decision = UngradedDecision(
        session=session.session.session_id,
        task=session.session.task,
        turn=1,
        truth="continue",
        target=target,
        decoding="greedy",
        completion=0,
        response=response,
        finished=True,
        tokens=5,
        served=served,
    )
    grader = NameGrader()
    before = contexts([session])
    (found,) = repetitions_of(
        [decision],
        grade_decisions([decision], grader, before),
        sessions=[session],
        contexts=before,
        reader=RepeatReader(PACK),
        grader=grader,
    )
    return found


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("What is your origin?", "same-text"),
        ("And your origin?", "known-field"),
        ("Your origin & seats?", None),  # one of the two is needed
        ("What is your seats?", None),
        ("Would hmm be fine?", None),  # the grader cannot tell what is asked
        ("<stop />", None),
    ],
)
def test_the_grader_and_the_log_tell_that_a_field_is_known(response: str, found: str | None) -> None:
    session = labelled("s", "trains", asks=["origin", "seats"])
    assert repetition(session, response) == (found, found)


def test_what_is_served_is_graded_itself() -> None:
    session = labelled("s", "trains", asks=["origin", "seats"])
    assert repetition(session, "And your origin?", served="And seats?") == ("known-field", None)
    assert repetition(session, "And your origin?", served="Or origin?") == ("known-field", "known-field")


def test_a_field_that_is_needed_again_is_no_repetition() -> None:
    session = labelled("s", "trains", asks=["origin", "seats"])
    assert repetition(session, "And your origin?", target=("origin",)) == (None, None)
