"""What a card holds before and after the answer, and which keys press its choices."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from learntoask.core.pack import load_pack
from learntoask.review.page.cards import OtherAnswer, answer_text, card, revealed_card
from learntoask.review.page.guideline import wording_of
from learntoask.review.page.pages import time_text
from worlds.review import question, yes_or_no


def test_a_card_before_the_answer_has_no_reveal_and_nothing_chosen() -> None:
    found = card(question(1), "d" * 64, "ann")
    assert found.reveal is None
    assert not any(key.chosen for key in found.keys)
    assert "lexicon" not in repr(found)


def test_every_choice_has_its_own_key_and_none_of_the_pages() -> None:
    choices = tuple((f"field{n}", f"Field {n}") for n in range(29))
    presses = [key.presses[0] for key in card(question(1, choices=choices), "d" * 64, "ann").keys]
    assert presses[:9] == list("123456789")
    assert len(set(presses)) == 29
    assert not set(presses) & set("cgnsuy?")
    assert set(presses) <= set(string.ascii_lowercase + string.digits)


def test_yes_and_no_are_pressed_by_y_and_n() -> None:
    found = {key.value: key.presses for key in card(yes_or_no(1), "d" * 64, "ann").keys}
    assert (found["yes"][0], found["no"][0]) == ("y", "n")
    assert {found["yes"][1], found["no"][1]} == {"1", "2"}


def test_a_choice_beyond_the_keys_is_still_there() -> None:
    choices = tuple((f"field{n}", f"Field {n}") for n in range(40))
    keys = card(question(1, choices=choices), "d" * 64, "ann").keys
    assert len(keys) == 40
    assert keys[-1].presses == ()


@pytest.mark.parametrize(
    ("answer", "text"), [((), "none of these"), (("?",), "cannot say"), (("age", "symptom"), "age, symptom")]
)
def test_an_answer_reads_as_people_say_it(answer, text) -> None:
    assert answer_text(question(1), answer) == text


def test_people_agree_only_if_everybody_says_the_same_and_a_known_answer_is_right() -> None:
    item = yes_or_no(1)  # the machine says yes
    assert revealed_card(item, "d" * 64, "ann", ("yes",)).reveal.agreed
    assert not revealed_card(item, "d" * 64, "ann", ("no",)).reveal.agreed
    others = [OtherAnswer("bea", ("no",))]
    assert not revealed_card(item, "d" * 64, "ann", ("yes",), others=others).reveal.agreed
    known = yes_or_no(1, why="known", expected=("no",))
    assert not revealed_card(known, "d" * 64, "ann", ("yes",)).reveal.agreed


def test_a_turn_without_a_message_is_marked_between_the_others() -> None:
    found = card(question(1, mark=(5, 5)), "d" * 64, "ann")
    assert found.gap == 5
    assert not any(line.marked for line in found.lines)


def test_whether_it_is_time_to_act_is_asked_without_what_the_expert_did() -> None:
    item = yes_or_no(1)  # about message 3 of 5
    asked, told = card(item, "d" * 64, "ann"), revealed_card(item, "d" * 64, "ann", ("yes",))
    assert (len(asked.lines), asked.gap, asked.hides) == (3, 3, True)
    assert (len(told.lines), told.gap, told.hides) == (5, None, False)
    assert [line.marked for line in told.lines] == [False, False, False, True, False]
    assert told.reveal.happened[0].text == "And do you take any other medicines at the moment?"


def test_an_end_of_the_conversation_without_text_is_told_after_the_answer_only() -> None:
    item = yes_or_no(1, contents=("Hi, a headache.", "Since when?", "Today.", ""))
    assert card(item, "d" * 64, "ann").reveal is None
    told = revealed_card(item, "d" * 64, "ann", ("yes",))
    assert told.lines[3].note == told.reveal.happened[0].text == "(ends the conversation)"


def test_a_message_without_text_is_no_empty_bubble() -> None:
    item = question(1, contents=("Hi.", "", "Hello?", "Yes?", "", ""), mark=(3, 4))
    notes = [line.note for line in card(item, "d" * 64, "ann").lines]
    assert notes == ["", "(no text)", "", "", "(no text)", "(ends the conversation)"]


def test_an_answer_names_titles_and_a_choice_shows_its_description_apart() -> None:
    item = question(1, choices=(("age", "age"), ("duration", "duration")))
    described = item.choices[0].model_copy(update={"description": "How old the patient is."})
    item = item.model_copy(update={"choices": (described, item.choices[1])})
    found = revealed_card(item, "d" * 64, "ann", ("age",))
    assert found.reveal.answer == "age"
    assert {key.value: [piece.text for piece in key.description] for key in found.keys} == {
        "age": ["How old the patient is."],
        "duration": [],
    }


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "these judges differ"),
        ({"votes": (("a", (), ""), ("b", (), ""))}, "no judge finds any of these"),
        ({"votes": (("a", ("age",), ""), ("b", ("age",), ""))}, "the label that follows from it is in doubt"),
        ({"why": "audit", "votes": (("a", ("age",), ""), ("b", ("age",), ""))}, "drawn at random"),
        ({"why": "known", "expected": ("age",)}, "Its answer was known"),
        ({"why": "repeat"}, "You had answered it before"),
        ({"votes": (), "split": "anchor"}, "It only measures"),
    ],
)
def test_the_reason_for_a_question_is_one_that_is_true(changes, why) -> None:
    split = changes.pop("split", "search")
    item = question(1, **changes).model_copy(update={"split": split})
    assert why in revealed_card(item, "d" * 64, "ann", ("age",)).reveal.why


def test_the_time_left_is_in_words() -> None:
    assert [time_text(seconds) for seconds in (None, 10, 61, 720, 7200)] == [
        "",
        "under a minute left",
        "about 1 min left",
        "about 12 min left",
        "about 2.0 h left",
    ]


def test_the_guideline_is_the_packs() -> None:
    pack = load_pack(Path(__file__).resolve().parents[4] / "examples/pharmacy/pack.yaml")
    wording = wording_of(pack, title="clinic")
    assert set(wording.guidelines) == {task.name for task in pack.tasks}
    for task in pack.tasks:
        notes = wording.guidelines[task.name].fields
        assert [(note.key, note.description) for note in notes] == [
            (f.name, f.description) for f in task.fields
        ]
    assert (wording.user, wording.expert, wording.language) == (
        pack.roles.user,
        pack.roles.expert,
        pack.language,
    )
