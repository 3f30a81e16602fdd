"""What a session teaches when its prompt lacks some fields of the task."""

from __future__ import annotations

import pytest
from learntoask.core.pack import InformationField, Task
from learntoask.core.records import LabelledSession
from learntoask.training.sft.field_dropout import dropped_fields, labels_for, without_fields
from learntoask.training.sft.hindsight import HindsightTargets, own_target
from unit.training.sft.test_hindsight import CITY, DATE, KNOWN, PARTY, session

TASK = Task(
    name="trip",
    fields=(
        *(InformationField(name=name) for name in ("city", "date", "party")),
        InformationField(name="class", required=False),
    ),
)


def labels(labelled: LabelledSession, *dropped: str) -> list[tuple[int, str, list[str]]]:
    """Turn, decision and micro-goal of each sample without the fields `dropped`."""
    changed = labels_for(labelled, without_fields(TASK, frozenset(dropped)))
    return [
        (sample.turn, sample.decision, [item.field for item in sample.remaining])
        for sample in changed.samples
    ]


def test_the_session_stops_where_all_required_fields_are_given() -> None:
    labelled = session([CITY, DATE, PARTY])
    assert labels(labelled, "party") == [
        (0, "continue", ["city", "date"]),
        (1, "continue", ["date"]),
        (2, "stop", []),
    ]
    assert labels_for(labelled, without_fields(TASK, frozenset({"party"}))).session.stop_turn == 2
    assert labels(labelled, "date", "party") == [(0, "continue", ["city"]), (1, "stop", [])]


def test_a_field_in_the_middle_leaves_the_stop_where_it_was() -> None:
    labelled = session([CITY, DATE, PARTY])
    assert labels(labelled, "date") == [
        (0, "continue", ["city", "party"]),
        (1, "continue", ["party"]),
        (2, "continue", ["party"]),
        (3, "stop", []),
    ]


def test_no_stop_follows_where_a_required_field_is_never_given() -> None:
    """The user tells the city only after the expert's last question, so that no earlier turn may stop."""
    labelled = session([DATE, PARTY])
    assert labels(labelled, "party") == [(0, "continue", ["date"]), (2, "stop", [])]


def test_nothing_dropped_changes_nothing() -> None:
    labelled = session([CITY, DATE, PARTY])
    assert labels_for(labelled, TASK) == labelled


@pytest.mark.parametrize("weight", [None, 0.5])
def test_a_turn_that_asks_for_a_dropped_field_learns_a_later_question(weight: float | None) -> None:
    labelled = labels_for(session([CITY, DATE, PARTY]), without_fields(TASK, frozenset({"city"})))
    choice = HindsightTargets.of([labelled], weight=weight)
    known = KNOWN - {"city"}
    assert set(choice.targets(labelled, labelled.samples[0], known=known)) >= {1}
    assert 0 not in choice.targets(labelled, labelled.samples[0], known=known)
    assert own_target(labelled.samples[0], known=known) == {}


def test_dropped_fields_are_required_ones_and_never_all() -> None:
    choices = {dropped_fields(TASK, share=0.5, key=f"{number}") for number in range(200)}
    assert len(choices) == 7  # none, one or two of three
    assert all(dropped < {"city", "date", "party"} for dropped in choices)
    assert dropped_fields(TASK, share=0.9, key="3") == dropped_fields(TASK, share=0.9, key="3")
    assert not dropped_fields(TASK, share=0.0, key="3")


def test_the_share_is_how_many_fields_are_dropped() -> None:
    counts = [len(dropped_fields(TASK, share=0.2, key=f"{number}")) for number in range(2000)]
    assert sum(counts) / (3 * len(counts)) == pytest.approx(0.2, abs=0.02)
