"""Which item a reviewer is asked next."""

from __future__ import annotations

import pytest
from learntoask.review.next_item import NextItem, next_item, questions_left
from learntoask.review.records import Answer, Event, Retirement, ReviewItem
from learntoask.review.settings import ReviewSettings
from learntoask.review.state import QueueState
from worlds.review_items import Truth, item, votes

NOW = 1_800_000_000.0


class Review:
    """A state with events that a test adds."""

    def __init__(self, items, **settings: object) -> None:
        self.state = QueueState(
            ReviewSettings.model_validate(
                {"repeat_every": 0, "known_every": 0, "double_share": 0.0} | settings
            )
        )
        self.state.add(items)
        self.now = NOW

    def next(self, reviewer: str = "ann", **how: object) -> NextItem | None:
        return next_item(self.state, reviewer, now=self.now, **how)

    def do(
        self, kind: str, digest: str, reviewer: str = "ann", *, answer=("yes",), seconds: float = 5.0
    ) -> None:
        self.now += 1
        self.state.apply(
            Event(
                item=digest,
                reviewer=reviewer,
                n=self.state.response(digest, reviewer).next_n,
                kind=kind,
                time=self.now,
                seconds=seconds,
                answer=answer if kind == "answered" else None,
            )
        )


def test_a_reviewer_first_gets_back_what_is_being_worked_on():
    review = Review([item(1), item(2), item(3)])
    review.do("leased", item(2).digest)
    found = review.next()
    assert (found.digest, found.reason) == (item(2).digest, "draft")
    ahead = review.next(besides=[item(2).digest])
    assert ahead.reason == "audit"
    assert ahead.digest != item(2).digest
    review.now += 3600  # the lease is over, and no one else took the item
    assert review.next().reason == "draft"


def test_an_item_that_someone_works_on_is_not_given_to_another_until_the_lease_is_over():
    review = Review([item(1)])
    review.do("leased", item(1).digest, "ann")
    assert review.next("bob") is None
    review.now += 120
    assert review.next("bob").digest == item(1).digest


def test_a_slow_reviewers_lease_lasts_three_times_the_median():
    review = Review([item(n) for n in range(4)])
    for number in range(3):
        review.do("answered", item(number).digest, "ann", seconds=100.0)
    review.do("leased", item(3).digest, "ann")
    review.now += 299
    assert review.next("bob") is None
    review.now += 2
    assert review.next("bob").digest == item(3).digest


def test_a_lease_of_a_clock_that_is_a_day_ahead_does_not_block_an_item():
    review = Review([item(1)])
    review.now += 86_400
    review.do("leased", item(1).digest, "ann")
    review.now = NOW
    assert review.next("bob").digest == item(1).digest


def test_the_item_nearest_to_completion_comes_before_fresh_ones():
    items = [item(n, why="disagreement", votes=votes("yes", "no")) for n in range(3)]
    review = Review(items, overlap=3)
    review.do("answered", items[0].digest, "bob")
    review.do("answered", items[1].digest, "bob")
    review.do("answered", items[1].digest, "eve")
    assert (review.next().digest, review.next().reason) == (items[1].digest, "completion")
    assert review.next("bob").digest == items[2].digest, "not what bob has answered"
    assert review.next("eve").digest == items[0].digest


def test_the_most_informative_item_per_second_comes_first_and_items_drawn_at_random_in_between():
    split, leaning = votes("yes", "no"), votes("yes", "yes", "no")
    disputed = item(1, why="disagreement", votes=split)
    clearer = item(2, why="disagreement", votes=leaning)
    slow = item(3, why="disagreement", votes=split, kind="is_stop")
    slower = item(6, why="disagreement", votes=leaning, kind="is_stop")
    review = Review([item(0), item(7), clearer, slow, slower, disputed])
    seen = item(4, kind="is_stop"), item(5)
    review.state.add(seen)
    review.do("answered", seen[0].digest, "bob", seconds=60.0)
    review.do("answered", seen[1].digest, "bob", seconds=6.0)
    order = []
    while (found := review.next()) is not None:
        order.append((found.digest, found.reason))
        review.do("answered", found.digest, seconds=0.0)
    assert order[:3] == [
        (disputed.digest, "information"),
        (clearer.digest, "information"),
        (slow.digest, "information"),
    ]
    assert [reason for _, reason in order[3:]] == ["audit", "information", "audit"]


def test_no_more_answers_are_asked_for_than_required_and_surplus_ones_are_kept():
    one = item(1)
    review = Review([one])
    review.do("answered", one.digest, "ann")
    review.do("answered", one.digest, "bob", answer=("no",))
    assert review.next("eve") is None
    assert review.state.given(one.digest) == 2
    assert (review.state.required_given, review.state.all_required) == (1, 1)
    review.do("undone", one.digest, "ann")
    assert review.next("eve") is None, "bob's answer stands"
    review.do("undone", one.digest, "bob")
    review.now += 3600
    assert review.next("eve").digest == one.digest


def test_a_fifth_of_the_anchor_items_wants_two_reviewers():
    items = [item(n, split="anchor") for n in range(1000)] + [item(n + 1000) for n in range(100)]
    review = Review(items, double_share=0.2)
    doubled = [one for one in items if review.state.required(one.digest) == 2]
    assert all(one.split == "anchor" for one in doubled)
    assert 160 <= len(doubled) <= 240
    review.do("answered", doubled[0].digest, "ann")
    assert review.next("bob").digest == doubled[0].digest


def test_what_is_skipped_goes_to_others_and_comes_back_last():
    review = Review([item(1), item(2)])
    first = review.next().digest
    review.do("skipped", first)
    second = review.next().digest
    assert second != first
    assert review.next("bob").digest == first
    review.do("answered", second)
    assert (review.next().digest, review.next().reason) == (first, "skipped")


def test_a_retired_item_is_not_asked():
    review = Review([item(1)])
    review.do("leased", item(1).digest)
    review.state.retire(Retirement(item=item(1).digest, reason="the session was withdrawn"))
    assert review.next() is None
    assert review.state.all_required == 0


def test_an_adjudicator_gets_what_others_disagree_on():
    review = Review([item(1), item(2)], overlap=2)
    for digest in (item(1).digest, item(2).digest):
        review.do("answered", digest, "ann")
        review.do("answered", digest, "bob", answer=("no",) if digest == item(2).digest else ("yes",))
    assert review.next("eve") is None
    found = review.next("eve", adjudicates=True)
    assert (found.digest, found.reason) == (item(2).digest, "conflict")


def answer_all(
    review: Review, truth: Truth, reviewer: str, count: int, *, right: Answer | None = None
) -> list[NextItem]:
    asked = []
    while len(asked) < count and (found := review.next(reviewer)) is not None:
        asked.append(found)
        answer = right or truth.right[found.item.repeats or found.digest]
        review.do("answered", found.digest, reviewer, answer=answer)
    return asked


def test_three_known_items_and_three_repeats_are_among_sixty_questions():
    truth = Truth(200, known=20)
    for reviewer in ("ann", "bob", "eve"):
        review = Review(truth.items, repeat_every=20, known_every=20)
        asked = answer_all(review, truth, reviewer, 60)
        reasons = [found.reason for found in asked]
        assert reasons.count("known") == reasons.count("repeat") == 3
        for place, found in enumerate(asked):
            if found.reason == "repeat":
                earlier = [before.digest for before in asked[: place - 4]]
                assert found.item.repeats in earlier


def test_the_questions_of_a_reviewer_are_the_same_each_time_and_differ_between_reviewers():
    truth = Truth(60, known=10)

    def places(reviewer: str, seed: int) -> list[int]:
        review = Review(truth.items, repeat_every=20, known_every=20, seed=seed)
        asked = answer_all(review, truth, reviewer, 60)
        return [n for n, found in enumerate(asked) if found.reason in ("known", "repeat")]

    assert places("ann", 0) == places("ann", 0)
    assert len({tuple(places(name, seed)) for name in ("ann", "bob") for seed in (0, 1)}) == 4


def about(session: str, number: int, **fields: object) -> ReviewItem:
    one = item(number, **fields)
    return one.model_copy(update={"origin": one.origin.model_copy(update={"session_id": session})})


def test_questions_about_one_conversation_are_spread():
    items = [about(f"s{number % 10}", number) for number in range(40)]
    review = Review(items)
    asked = answer_all(review, Truth(0), "ann", 40, right=("yes",))
    sessions = [found.item.origin.session_id for found in asked]
    assert len(sessions) == 40
    apart = [place for place in range(1, 40) if sessions[place] in sessions[max(0, place - 6) : place]]
    assert len(apart) <= 6, "only what is left at the end"


def test_the_card_that_is_fetched_early_is_about_another_conversation_than_the_one_on_the_screen():
    items = [about("a", 1), about("a", 2), about("b", 3)]
    review = Review(items)
    first = review.next()
    review.do("leased", first.digest)
    second = review.next(besides=[first.digest])
    assert {first.item.origin.session_id, second.item.origin.session_id} == {"a", "b"}


def test_a_question_that_would_show_what_another_one_hides_waits_for_it():
    talk = tuple(
        item(0)
        .messages[0]
        .model_copy(
            update={
                "role": ("user", "assistant")[n % 2],
                "author": ("user", "expert")[n % 2],
                "content": f"{n}",
            }
        )
        for n in range(8)
    )
    stops = [
        about("a", n, kind="is_stop", messages=talk[: 2 * n], start=2 * n - 1, end=2 * n) for n in (1, 2, 3)
    ]
    whole = about("a", 9, messages=talk, start=1, end=2)
    review = Review([*stops, whole, *(about(f"other {n}", n + 20) for n in range(40))])
    asked = [found.digest for found in answer_all(review, Truth(0), "ann", 60, right=("yes",))]
    places = [asked.index(one.digest) for one in (*stops, whole)]
    assert places == sorted(places)


@pytest.mark.parametrize("said", [(), ("yes", "yes")])
def test_questions_whose_votes_do_not_differ_are_mixed_with_those_drawn_at_random(said):
    unnamed = [item(number, why="disagreement", votes=votes(*said)) for number in range(20)]
    review = Review([*unnamed, *(item(number + 100) for number in range(20))])
    asked = answer_all(review, Truth(0), "ann", 40, right=("yes",))
    drawn = [found.item.why == "disagreement" for found in asked]
    assert 4 <= sum(drawn[:20]) <= 16


def test_an_answer_that_was_taken_back_comes_before_what_was_fetched_early():
    review = Review([item(number) for number in range(4)])
    first = review.next().digest
    ahead = review.next(besides=[first]).digest
    review.do("leased", ahead)
    review.do("answered", first)
    review.do("undone", first)
    assert review.next().digest == first
    assert review.next(besides=[first]).digest == ahead


@pytest.mark.parametrize("every", [1, 2])
def test_the_questions_that_are_left_are_finite_where_most_places_are_for_checks(every):
    truth = Truth(20, known=4)
    review = Review(truth.items, repeat_every=every, known_every=every)
    assert 24 <= questions_left(review.state, "ann") <= 44


@pytest.mark.parametrize("every", [0, 7, 20])
@pytest.mark.parametrize("known", [0, 2, 30])
def test_the_questions_that_are_left_are_those_that_will_be_asked(every, known):
    truth = Truth(60, known=known)
    review = Review(truth.items, repeat_every=every, known_every=every)
    totals = set()
    while (found := review.next()) is not None:
        totals.add(len(review.state.reviewers["ann"].answered) + questions_left(review.state, "ann"))
        review.do("answered", found.digest, answer=truth.right[found.item.repeats or found.digest])
    assert totals == {len(review.state.reviewers["ann"].answered)}
    assert questions_left(review.state, "ann") == 0


def test_known_items_and_repeats_are_no_required_answers():
    truth = Truth(40, known=10)
    review = Review(truth.items, repeat_every=10, known_every=10)
    asked = answer_all(review, truth, "ann", 1000)
    assert review.state.required_given == review.state.all_required == 40
    assert len(asked) > 40
