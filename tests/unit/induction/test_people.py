"""People's answers decide which questions are one field, what is needed, its name, and how sessions end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learntoask.calibration.answers import collect
from learntoask.grading.encoders.hashing import HashingEncoder
from learntoask.induction.from_logs import suggest_from_logs
from learntoask.induction.people.cards import MOST_CARDS
from learntoask.induction.people.rounds import ROUND, Rounds
from learntoask.induction.people.said import NOTHING, NOTHING_SAID, Said
from learntoask.induction.suggestion import Suggestion
from learntoask.labeling.logs.patterns import any_of
from learntoask.review.records import CANNOT_SAY, Answer, ReviewAnswer, ReviewItem
from worlds.induction import ACTS, ASKED, sessions, write


def suggested(folder: Path, lines: list[Any], said: Said = NOTHING_SAID) -> Suggestion:
    return suggest_from_logs(write(folder / "logs.jsonl", lines), encoder=HashingEncoder(), said=said)


def fields_of(found: Suggestion, text: str) -> list[str]:
    """Return the fields that a question asks for, by their patterns."""
    return [
        field.name
        for field in found.fields
        if any_of(tuple(pattern.expression for pattern in field.patterns))(text)
    ]


def said_to(item: ReviewItem, *answers: Answer) -> Said:
    given = [
        ReviewAnswer(item=item.digest, reviewer=f"r{number}", answer=answer, blind=None)
        for number, answer in enumerate(answers)
    ]
    return Said.of(collect([item], given).answered)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Suggestion:
    return suggested(tmp_path_factory.mktemp("logs"), sessions(60, marker=False))


def test_there_are_at_most_thirty_cards_and_none_twice(found: Suggestion) -> None:
    assert 0 < len(found.cards) <= MOST_CARDS
    assert len({item.digest for item in found.cards}) == len(found.cards)
    assert {item.kind for item in found.cards} >= {"required", "is_end"}


def test_questions_that_people_call_the_same_become_one_field(tmp_path: Path) -> None:
    pairs = {(ASKED["bike"][0].lower(), text.lower()): True for text in (ASKED["bike"][1], *ASKED["phone"])}
    found = suggested(tmp_path, sessions(60), Said(same=pairs))
    assert len(found.fields) == len(ASKED) - 1
    assert len({*fields_of(found, ASKED["bike"][0]), *fields_of(found, ASKED["phone"][1])}) == 1


def test_questions_that_people_call_different_become_two_fields(tmp_path: Path) -> None:
    one, other = ASKED["bike"]
    said = Said(same={(one.lower(), other.lower()): False})
    found = suggested(tmp_path, sessions(60), said)
    assert len(found.fields) == len(ASKED) + 1
    assert fields_of(found, one) != fields_of(found, other)


def test_a_question_that_asks_what_another_one_asks_joins_its_field(
    found: Suggestion, tmp_path: Path
) -> None:
    item = next(item for item in found.cards if item.kind == "asks_for")
    marked = item.messages[item.start].content
    assert marked not in [choice.text for choice in item.choices]
    again = suggested(tmp_path, sessions(60, marker=False), said_to(item, (item.choices[0].key,)))
    assert len(again.fields) == len(found.fields) - 1
    assert fields_of(again, marked) == fields_of(again, item.choices[0].text)
    assert item.digest not in {one.digest for one in again.cards}


def test_a_question_that_asks_for_several_things_belongs_to_the_field_of_each(tmp_path: Path) -> None:
    several = {
        ASKED["bike"][0].lower(): True,
        ASKED["day"][0].lower(): True,
        ASKED["since"][0].lower(): False,
    }
    found = suggested(tmp_path, sessions(60), Said(asks={ASKED["phone"][0].lower(): several}))
    assert len(found.fields) == len(ASKED) - 1
    both = {*fields_of(found, ASKED["bike"][0]), *fields_of(found, ASKED["day"][0])}
    assert len(both) == 2
    assert set(fields_of(found, ASKED["phone"][0])) == both


def test_an_offer_is_no_field(found: Suggestion, tmp_path: Path) -> None:
    item = next(item for item in found.cards if item.kind == "asks_for")
    said = said_to(item, (NOTHING,))
    assert said.count == 1
    again = suggested(tmp_path, sessions(60, marker=False), said)
    assert fields_of(again, item.messages[item.start].content) == []


def test_a_question_that_is_none_of_the_others_stays_a_field(found: Suggestion, tmp_path: Path) -> None:
    item = next(item for item in found.cards if item.kind == "asks_for")
    said = said_to(item, ())
    assert said.count == 1
    again = suggested(tmp_path, sessions(60, marker=False), said)
    assert len(again.fields) == len(found.fields)
    assert item.digest not in {one.digest for one in again.cards}


def test_rounds_ask_at_most_thirty_cards_and_none_twice(found: Suggestion) -> None:
    rounds, asked = Rounds(left=15), []
    while cards := rounds.next_of(found):
        assert len(cards) <= ROUND
        asked += cards
    assert [card.digest for card in asked] == [card.digest for card in found.cards[:15]]


def test_what_people_say_of_a_question_decides_about_its_field(tmp_path: Path) -> None:
    said = Said(
        after={ASKED["bike"][0].lower(): "nothing", ASKED["day"][1].lower(): "helpful"},
        names={ASKED["day"][0].lower(): "visit"},
    )
    found = suggested(tmp_path, sessions(60), said)
    assert fields_of(found, ASKED["bike"][0]) == []
    assert ASKED["bike"][0] not in [text for text, _ in found.not_covered.questions]
    required = {use.field.name: use.required for use in found.tasks[0].fields}
    assert required.pop("visit") is False
    assert set(required.values()) == {True}


def test_cards_that_people_have_answered_are_not_made_again(tmp_path: Path, found: Suggestion) -> None:
    (item,) = [item for item in found.cards if item.kind == "required"][:1]
    said = said_to(item, (item.choices[0].key,))
    again = suggested(tmp_path, sessions(60, marker=False), said)
    assert item.digest not in {one.digest for one in again.cards}


def test_words_with_which_the_expert_goes_on_are_no_act(tmp_path: Path) -> None:
    lines = sessions(60, marker=False)
    found = suggested(tmp_path, lines)
    act = any_of(tuple(pattern.expression for pattern in found.ends.actions))
    assert all(act(text) for text in ACTS)
    said = Said(ends={ACTS[0].lower(): "goes_on"})
    act = any_of(tuple(pattern.expression for pattern in suggested(tmp_path, lines, said).ends.actions))
    assert not act(ACTS[0])
    assert act(ACTS[1])


def test_words_that_hand_over_are_no_act(tmp_path: Path) -> None:
    said = Said(ends={text.lower(): "hands_over" for text in ACTS})
    ends = suggested(tmp_path, sessions(60, marker=False), said).ends
    assert ends.actions == ()
    assert all(any_of(tuple(one.expression for one in ends.handoffs))(text) for text in ACTS)


def test_an_answer_counts_only_if_people_agree(found: Suggestion) -> None:
    item = next(item for item in found.cards if item.kind == "required")
    assert said_to(item, ("needed",), ("helpful",)) == NOTHING_SAID
    assert said_to(item, CANNOT_SAY) == NOTHING_SAID
    assert said_to(item, ("needed",)).count == 1
