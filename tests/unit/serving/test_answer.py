"""What the caller gets for what the model said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.pack import Pack
from learntoask.grading.fluency import FluencyGuard
from learntoask.serving.answer import Answer, answer_of

PACK = Pack.model_validate({"name": "p", "tasks": [{"name": "default", "fields": [{"name": "f"}]}]})
ASKING = FluencyGuard(PACK).asking


def answer(text: str, *, may_stop: bool = True) -> Answer:
    return answer_of(text, asking=ASKING, fallback=PACK.fallback, may_stop=may_stop)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Since when does it hurt?", Answer("Since when does it hurt?", "model")),
        (" Sure! Which city are you in? \n", Answer("Sure! Which city are you in?", "model")),
        ("Please tell me your date of birth.", Answer("Please tell me your date of birth.", "model")),
        ("<stop />", Answer(None, "model")),
        (" <stop />\n", Answer(None, "model")),
        ("Thank you. <stop />", Answer(None, "repaired")),
        ("Which city? And which day?", Answer("Which city?", "repaired")),
        ("Fine. Which city is it? Which day is it? How many?", Answer("Fine. Which city is it?", "repaired")),
        # The first sentence loops, so the whole is no fluent question; the second alone is.
        ("no no no no no no. Which city is it?", Answer("Which city is it?", "repaired")),
        ("I'm sorry, I can't help with that.", Answer(PACK.fallback, "fallback")),
        ("Your order is ready.", Answer(PACK.fallback, "fallback")),
        ("", Answer(PACK.fallback, "fallback")),
        ("?", Answer(PACK.fallback, "fallback")),
    ],
)
def test_one_question_or_a_stop(text: str, expected: Answer):
    assert answer(text) == expected


def test_a_policy_that_was_never_offered_a_stop_cannot_take_it():
    assert answer("<stop />", may_stop=False) == Answer(PACK.fallback, "fallback")
    assert answer("Which city? <stop />", may_stop=False) == Answer("Which city?", "model")


@given(st.text(alphabet="ab ?.!\n<stop />,", max_size=60))
def test_whatever_the_model_says_the_caller_gets_one_question_or_a_stop(text: str):
    given_answer = answer(text)
    if given_answer.question is None:
        assert "<stop />" in text
    elif given_answer.origin == "fallback":
        assert given_answer.question == PACK.fallback
    else:
        assert len(ASKING(given_answer.question)) == 1
        assert given_answer.question in text


def test_the_answer_as_a_message_is_the_policys():
    assert Answer(None, "model").message.content == "<stop />"
    assert answer("Which city?").message.author == "policy"
