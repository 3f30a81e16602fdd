"""Assessments are written and read alike, and no part of a tag is left in what a user may see."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.assessment import AssessedAnswer, check_titles, f1, parse, render
from learntoask.core.errors import InputError
from learntoask.core.pack import InformationField, Pack
from learntoask.core.prompt import check_prompts, system_prompt
from learntoask.core.records import STOP

FIELDS = tuple(InformationField(name=name) for name in ("date", "party_size", "age", "age_of_child"))
NAMES = [field.name for field in FIELDS]
questions = st.text("abc d,?é日", min_size=1).map(str.strip).filter(bool)


def pack(*names: str) -> Pack:
    fields = [{"name": name} for name in names]
    return Pack.model_validate({"name": "p", "tasks": [{"name": "default", "fields": fields}]})


def test_fields_are_named_as_the_prompt_lists_them_in_its_order() -> None:
    written = render("For which day?", missing={"party_size", "date"}, fields=FIELDS)
    assert written == "<need>date, party size</need> For which day?"
    shuffled = render("For which day?", missing={"party_size", "date"}, fields=FIELDS[::-1])
    assert shuffled == "<need>party size, date</need> For which day?"


@given(st.permutations(FIELDS), st.sets(st.sampled_from(NAMES), min_size=1), questions)
def test_what_is_rendered_is_read_again(
    fields: list[InformationField], missing: set[str], question: str
) -> None:
    read = parse(render(question, missing=missing, fields=fields), fields)
    assert read == AssessedAnswer(question, tuple(field.name for field in fields if field.name in missing))


def test_a_stop_says_that_nothing_is_missing() -> None:
    assert parse(f" {STOP}\n", FIELDS) == AssessedAnswer(f" {STOP}\n", ())


@pytest.mark.parametrize(
    ("text", "question", "assessment"),
    [
        ("For which day?", "For which day?", None),
        ("<need>date For which day?", "For which day?", None),
        ("<need>age of child, age, How old?", "How old?", None),
        ("<need>aged people? Who?", "aged people? Who?", None),
        ("date, age</need> For which day?", "For which day?", None),
        ("<need>date</need>", "", ("date",)),
        ("<need>date, colour</need> For which day?", "For which day?", ("date",)),
        ("<Need>date</Need> For which day?", "For which day?", ("date",)),
        ("<need>date</need> <need>age</need> How old?", "How old?", ("date",)),
        ("For which day? <need>date</need>", "For which day?", ("date",)),
        ("<need>date, party si", "party si", None),
        ("</need><need", "", None),
        (f"<need>date</need> {STOP}", STOP, ("date",)),
        (f"I think {STOP}", f"I think {STOP}", None),
    ],
)
def test_of_a_malformed_answer_remains_what_may_be_a_question(
    text: str, question: str, assessment: tuple[str, ...] | None
) -> None:
    assert parse(text, FIELDS) == AssessedAnswer(question, assessment, malformed=True)


@given(st.lists(st.sampled_from(["<", "need", ">", "/", "<need>", "</need>", "age", ",", " ", "Who?", STOP])))
def test_no_part_of_a_tag_is_left(parts: list[str]) -> None:
    assert not re.search(r"<\s*/?\s*need|need>", parse("".join(parts), FIELDS).text)


def test_a_long_list_without_an_end_is_read_at_once() -> None:
    assert parse("<need" + "age   " * 2000 + "x", FIELDS).malformed


@pytest.mark.parametrize(
    ("assessment", "target", "expected"),
    [
        (("date",), {"date"}, 1.0),
        (("date", "age"), {"date"}, 2 / 3),
        (("date",), {"date", "age", "party_size"}, 0.5),
        (("age",), {"date"}, 0.0),
        ((), {"date"}, 0.0),
        ((), set(), 1.0),
        (None, {"date"}, 0.0),
        (None, set(), 0.0),
    ],
)
def test_f1(assessment: tuple[str, ...] | None, target: set[str], expected: float) -> None:
    assert f1(assessment, target) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("names", "finding"),
    [
        (("date, time",), "'date, time'.* must not hold ','"),
        (("_",), "needs a letter"),
        (
            ("party_size", "party-size"),
            "'party-size': prompts show it as 'party size', as they do 'party_size'",
        ),
    ],
)
def test_fields_that_a_tag_cannot_tell_apart_are_refused_with_an_assessment_only(
    names: tuple[str, ...], finding: str
) -> None:
    check_prompts(pack(*names))
    with pytest.raises(InputError, match=finding):
        check_prompts(pack(*names), assess=True)
    check_titles(pack("date", "time"))


def test_only_a_prompt_with_an_assessment_says_how_to_write_it() -> None:
    plain = system_prompt(pack("date"), "default")
    assert "<need>" not in plain
    assert system_prompt(pack("date"), "default", assess=True) == (
        f"{plain}\nBegin each question with the fields that are still missing: <need>field, field</need>"
    )
