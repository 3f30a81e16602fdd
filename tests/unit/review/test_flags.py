"""Reviewers whose answers mean nothing are found within 60 questions, and careful ones are left alone."""

from __future__ import annotations

import math
import random

import pytest
from learntoask.review.flags import copying_log_e, reviewer_flags
from learntoask.review.reading_time import shortest_seconds
from learntoask.review.records import Event
from learntoask.review.settings import ReviewSettings
from learntoask.review.state import QueueState
from worlds.review_items import Truth, item
from worlds.review_people import careful, copies, first_flag, presses_first, yields

REVIEWERS = 20


def flags_of(person, *, questions: int = 60, known: int = 10, **how) -> list[tuple[int, str] | None]:
    """Return when each of 20 reviewers, who have a queue each, is flagged first, and for what."""
    return [
        first_flag(Truth(240, known=known, seed=seed), person, questions=questions, seed=seed, **how)
        for seed in range(REVIEWERS)
    ]


@pytest.mark.parametrize("known", [0, 10])
def test_one_who_copies_the_machine_blind_is_flagged_within_60_questions(known):
    kinds = [flagged[1] for flagged in flags_of(copies, known=known) if flagged]
    assert kinds.count("copies_machine") >= 0.95 * REVIEWERS


def test_one_who_gives_way_to_the_machine_as_soon_as_it_is_shown_is_flagged():
    kinds = [flagged[1] for flagged in flags_of(yields, questions=90) if flagged]
    assert kinds.count("copies_machine") >= 0.95 * REVIEWERS


@pytest.mark.parametrize("errors", [0.0, 0.05, 0.1])
def test_careful_reviewers_are_left_alone_over_120_questions_with_a_look_after_each(errors):
    flagged = [found for found in flags_of(careful(errors), questions=120) if found]
    assert len(flagged) <= 0.05 * REVIEWERS


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("known", [0, 10])
def test_one_who_always_presses_1_is_flagged_within_60_questions(seed, known):
    name = f"reviewer {seed}"
    truth = Truth(240, known=known, seed=seed)
    assert first_flag(truth, presses_first(name), questions=60, name=name, seed=seed)


def test_most_who_guess_are_flagged_in_240_questions():
    truths = [Truth(300, known=30, seed=seed) for seed in range(5)]
    flagged = [first_flag(truth, careful(0.5), questions=240, seed=seed) for seed, truth in enumerate(truths)]
    assert sum(found is not None and found[1] in ("inattentive", "inconsistent") for found in flagged) >= 4


def test_agreement_with_a_machine_that_others_show_to_be_right_is_no_sign_of_copying():
    truths = [Truth(240, seed=seed, judge_errors=0.05) for seed in range(REVIEWERS)]
    others = (("bob", careful(0.0)), ("eve", careful(0.0)))

    def flagged(**how) -> int:
        return sum(first_flag(truth, careful(0.0), questions=120, **how) is not None for truth in truths)

    assert flagged(others=others) <= 0.05 * REVIEWERS < flagged()


def test_evidence_of_copying_exceeds_a_limit_no_more_often_than_it_may_at_any_look():
    draw, exceeded, limit = random.Random(0), 0, math.log(20)
    for _ in range(400):
        same = copied = 0
        for looks in range(1, 101):  # a perfect judge at the edge of the null hypothesis
            same += draw.random() < 0.85
            copied += draw.random() < 0.12
            if (
                copying_log_e(same=same, disputed=looks, copied=copied, traps=looks, machine_right=0.85)
                >= limit
            ):
                exceeded += 1
                break
    assert exceeded <= 400 * 0.05 + 2 * math.sqrt(400 * 0.05 * 0.95)


def test_one_trap_that_is_copied_counts_for_more_than_one_disputed_item():
    none = {"same": 0, "disputed": 0, "copied": 0, "traps": 0, "machine_right": 0.85}
    trap, plain = {**none, "copied": 1, "traps": 1}, {**none, "same": 1, "disputed": 1}
    assert copying_log_e(**none) == pytest.approx(0.0)
    assert copying_log_e(**trap) > 5 * copying_log_e(**plain) > 0
    assert copying_log_e(**{**none, "traps": 1}) < 0


def test_one_who_only_says_cannot_say_is_flagged():
    def cannot_say(*_):
        return ("?",), ("?",)

    assert first_flag(Truth(60), cannot_say, questions=30) == (20, "cannot_say")


def test_answers_that_come_faster_than_the_text_can_be_read_are_flagged_and_slower_ones_are_not():
    truth = Truth(120, known=10)
    flagged = first_flag(truth, careful(0.0), questions=60, seconds=0.6)
    assert flagged
    assert flagged[0] < 20
    assert flagged[1] == "hasty"
    assert first_flag(truth, careful(0.0), questions=60, seconds=1.2) is None


def test_the_shortest_time_is_that_of_the_marked_text_at_10_words_a_second_and_at_least_one_second():
    long = item(1).messages[0].model_copy(update={"content": "word " * 80})
    user = long.model_copy(update={"role": "user", "author": "user", "content": "word " * 30})
    assert shortest_seconds(item(1)) == 1.0
    assert shortest_seconds(item(1, messages=(user, long), start=1, end=2)) == 8.0
    hidden = item(1, kind="is_stop", messages=(user, long), start=1, end=2)
    assert shortest_seconds(hidden) == 3.0, "the marked message is not shown before the answer"


def test_an_answer_of_unknown_time_is_not_called_hasty():
    state = QueueState(ReviewSettings())
    items = [item(number) for number in range(40)]
    state.add(items)
    for number, one in enumerate(items):
        state.apply(
            Event(
                item=one.digest,
                reviewer="ann",
                n=0,
                kind="answered",
                time=float(number),
                answer=(("yes",), ("no",))[number % 2],
            )
        )
    assert reviewer_flags(state, "ann") == ()
