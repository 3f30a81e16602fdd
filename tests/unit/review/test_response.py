"""What a reviewer did with an item, folded from events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.review.records import Event
from learntoask.review.response import NO_RESPONSE, response_of
from learntoask.review.settings import ReviewSettings
from learntoask.review.state import QueueState
from worlds.review_items import item


def events(*steps: tuple[str, str | None, bool], digest: str = "i") -> list[Event]:
    return [
        Event(
            item=digest,
            reviewer="ann",
            n=n,
            kind=kind,
            time=100.0 + n,
            answer=None if answer is None else (answer,),
            revealed=revealed,
            id=f"id{n}",
        )
        for n, (kind, answer, revealed) in enumerate(steps)
    ]


LEASED = ("leased", None, False)
RELEASED = ("released", None, False)
UNDONE = ("undone", None, False)
SKIPPED = ("skipped", None, False)


def yes(revealed: bool = False) -> tuple[str, str, bool]:
    return ("answered", "yes", revealed)


def no(revealed: bool = False) -> tuple[str, str, bool]:
    return ("answered", "no", revealed)


@pytest.mark.parametrize(
    ("steps", "answer", "blind", "changed"),
    [
        ([], None, None, False),
        ([LEASED], None, None, False),
        ([yes()], "yes", "yes", False),
        ([yes(), no(True)], "no", "yes", True),
        ([yes(), no(True), UNDONE], "yes", "yes", False),
        ([yes(), UNDONE], None, None, False),
        ([yes(), UNDONE, no(True)], "no", "yes", True),
        ([yes(), UNDONE, no()], "no", "no", False),
        ([yes(), no(True), yes(True)], "yes", "yes", False),
        ([UNDONE, yes()], "yes", "yes", False),
        ([yes(), SKIPPED], "yes", "yes", False),
    ],
)
def test_the_last_answer_that_was_not_undone_stands_and_the_blind_one_is_kept(steps, answer, blind, changed):
    found = response_of(events(*steps))
    assert found.answer == (None if answer is None else (answer,))
    assert found.blind == (None if blind is None else (blind,))
    assert found.changed is changed


def test_a_lease_ends_with_the_answer_and_comes_back_when_it_is_undone():
    assert response_of(events(LEASED)).leased == 100.0
    assert response_of(events(LEASED, yes())).leased is None
    assert response_of(events(LEASED, yes(), UNDONE)).leased == 102.0
    assert response_of(events(LEASED, SKIPPED)).leased is None
    assert response_of(events(LEASED, RELEASED)).leased is None
    assert response_of(events(LEASED, SKIPPED)).skipped == 101.0
    assert response_of(events(LEASED, SKIPPED, LEASED)).skipped is None


STEPS = st.lists(
    st.sampled_from([LEASED, RELEASED, UNDONE, SKIPPED, yes(), no(), yes(True), no(True)]), max_size=8
)


@given(steps=STEPS, data=st.data())
def test_the_state_does_not_depend_on_the_order_in_which_events_arrive_nor_on_repeats(steps, data):
    one = item(1)
    found = events(*steps, digest=one.digest)
    shuffled = data.draw(st.permutations(found + found[: len(found) // 2]))
    state = QueueState(ReviewSettings())
    before_items = data.draw(st.integers(0, len(shuffled)))
    for event in shuffled[:before_items]:
        state.apply(event)
    state.add([one])
    for event in shuffled[before_items:]:
        state.apply(event)
    expected = response_of(found) if found else NO_RESPONSE
    assert state.response(one.digest, "ann") == expected
    assert state.given(one.digest) == (expected.answer is not None)
    assert state.required_given == state.given(one.digest)
    assert state.all_required == 1
    open_items = [*state.open.begun, *state.open.audit()]
    assert open_items == ([] if expected.answer else [one.digest])
