"""Which questions without a field people read."""

from __future__ import annotations

from learntoask.calibration.draw.findings import LABELLER, Finding
from learntoask.calibration.draw.wordings import most_telling

AGE = ["How old?", "How old is the patient?", "Ok. How old is your child?", "How old by now?"]
PILLS = ["Any pills on the side?", "So, any pills at all?", "Any pills?"]
ALONE = ["Breastfeeding perhaps?"]
BOTH = ["How old are you, and what pills do you take? Any pills at all?"]


def unnamed(texts: list[str], task: str = "visit") -> list[Finding]:
    return [
        Finding(
            session_id=f"{task} {text}",
            split="train",
            task=task,
            turn=0,
            text=text,
            question=True,
            asks={LABELLER: ()},
        )
        for text in texts
    ]


def chosen(findings: list[Finding], count: int) -> list[str]:
    return [one.text for one in most_telling(findings, count, group_of=lambda task: task)]


def test_the_first_questions_are_those_that_most_others_are_like():
    first, second, *_ = chosen(unnamed([*ALONE, *PILLS, *AGE]), 3)
    assert first in AGE
    assert second in PILLS


def test_a_question_about_one_thing_comes_before_one_about_two():
    assert chosen(unnamed([*BOTH, *PILLS]), 1)[0] in PILLS


def test_all_wordings_are_asked_once_if_there_is_room():
    texts = [*ALONE, *PILLS, *AGE]
    assert sorted(chosen(unnamed([*texts, *texts]), 99)) == sorted(texts)


def test_like_questions_of_another_group_are_asked_apart():
    findings = [*unnamed(AGE, "visit"), *unnamed(AGE, "insurance")]
    found = most_telling(findings, 2, group_of=lambda task: task)
    assert {one.task for one in found} == {"visit", "insurance"}


def test_nothing_is_chosen_from_nothing():
    assert chosen([], 5) == []
