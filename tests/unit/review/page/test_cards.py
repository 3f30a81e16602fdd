"""What a card holds before and after the answer, and which keys press its choices."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from learntoask.core.pack import load_pack
from learntoask.review.page.cards import card, revealed_card
from learntoask.review.page.guideline import wording_of
from learntoask.review.page.pages import time_text
from learntoask.review.page.reveal import OtherAnswer, answer_text
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


@pytest.mark.parametrize(
    "contents", [("Hi, a headache.", "Since when?", "Today.", " "), ("Hi.", "Yes?", "No.")]
)
def test_an_act_without_words_is_told_after_the_answer_only(contents) -> None:
    item = yes_or_no(1, contents=contents, mark=(3, len(contents)))
    assert card(item, "d" * 64, "ann").reveal is None
    for answer, too in ((("yes",), True), (("no",), False)):
        told = revealed_card(item, "d" * 64, "ann", answer)
        assert (told.reveal.acted, told.reveal.acted_too, told.reveal.happened) == (True, too, ())
        assert [line.silent for line in told.lines[3:]] == ["acts"] * (len(contents) - 3)


def test_what_the_log_says_is_told_only_where_it_was_hidden() -> None:
    reveal = revealed_card(question(1), "d" * 64, "ann", ("age",)).reveal
    assert (reveal.acted, reveal.happened) == (False, ())


def test_what_is_still_needed_is_about_everything_to_the_end() -> None:
    item = question(1, mark=(1, 2))
    assert [line.marked for line in card(item, "d" * 64, "ann").lines] == [False, True, False, False, False]
    rest = card(item.model_copy(update={"kind": "still_needed"}), "d" * 64, "ann")
    assert rest.to_end
    assert [line.marked for line in rest.lines] == [False, True, True, True, True]


def test_a_message_without_text_is_no_empty_bubble() -> None:
    item = question(1, contents=("Hi.", "", "Hello?", "Yes?", "", ""), mark=(3, 4))
    silent = [line.silent for line in card(item, "d" * 64, "ann").lines]
    assert silent == ["", "empty", "", "", "empty", "acts"]


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
    ("votes", "others", "title"),
    [
        (
            {"labeller": "yes", "rewarding": "yes", "reporting": "no"},
            {},
            "1 of 3 machine judges says something else",
        ),
        (
            {"labeller": "yes", "rewarding": "no", "reporting": "no"},
            {},
            "2 of 3 machine judges say something else",
        ),
        (
            {"labeller": "no", "rewarding": "no", "reporting": "no"},
            {},
            "All 3 machine judges say something else",
        ),
        ({"labeller": "no"}, {}, "The machine judge says something else"),
        ({"labeller": "yes"}, {}, "Everybody agrees"),
        ({}, {}, "Your answer is recorded"),
        ({"labeller": "yes"}, {"bea": "no"}, "The other person says something else"),
        (
            {"labeller": "no", "rewarding": "yes"},
            {"bea": "no", "dan": "yes"},
            "1 of 2 machine judges and 1 of 2 other people say something else",
        ),
    ],
)
def test_the_title_says_how_many_say_something_else(votes, others, title) -> None:
    item = yes_or_no(1, votes=[(judge, (answer,), "") for judge, answer in votes.items()])
    people = [OtherAnswer(who, (answer,)) for who, answer in others.items()]
    assert revealed_card(item, "d" * 64, "ann", ("yes",), others=people).reveal.title == title
    known = item.model_copy(update={"expected": ("no",)})
    assert revealed_card(known, "d" * 64, "ann", ("yes",)).reveal.title == "The known answer is another one"


def test_judges_have_names_that_say_something_to_people() -> None:
    votes = [
        (judge, ("yes",), "")
        for judge in ("labeller", "labeller#2", "reporting", "rewarding", "the suggestion")
    ]
    opinions = revealed_card(yes_or_no(1, votes=votes), "d" * 64, "ann", ("yes",)).reveal.opinions
    assert [opinion.who for opinion in opinions] == [
        "grader 1",
        "grader 2",
        "the labels",
        "the labels (asked again, 2)",
        "the suggestion",
    ]


@pytest.mark.parametrize(("stop_at", "acting"), [("acts", "acts"), ("asking_done", "asks nothing more")])
def test_what_an_expert_does_without_words_is_what_the_pack_says(stop_at, acting) -> None:
    pack = load_pack(Path(__file__).resolve().parents[4] / "examples/pharmacy/pack.yaml")
    assert acting in wording_of(pack.model_copy(update={"stop_at": stop_at}), title="clinic").acting


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
        assert [(note.key, note.description, note.required, note.values) for note in notes] == [
            (f.name, f.description, f.required, f.values) for f in task.fields
        ]
        needed = wording.guidelines[task.name].needed.split(", ")
        assert needed == [f.title for f in task.fields if f.required]
        assert not set(needed) & set(wording.guidelines[task.name].optional.split(", "))
    assert (wording.user, wording.expert, wording.language) == (
        pack.roles.user,
        pack.roles.expert,
        pack.language,
    )
