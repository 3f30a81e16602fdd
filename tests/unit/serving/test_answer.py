"""The answer that a caller gets for generated text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.pack import Pack
from learntoask.grading.fluency import FluencyGuard
from learntoask.serving.answer import PolicyAnswer, answer_of

PACK = Pack.model_validate({"name": "p", "tasks": [{"name": "default", "fields": [{"name": "f"}]}]})
ASKING = FluencyGuard(PACK).asking


def answer(text: str, *, may_stop: bool = True) -> PolicyAnswer:
    return answer_of(text, asking=ASKING, fallback=PACK.fallback, may_stop=may_stop)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Since when does it hurt?", PolicyAnswer("Since when does it hurt?", "model")),
        (" Sure! Which city are you in? \n", PolicyAnswer("Sure! Which city are you in?", "model")),
        ("Please tell me your date of birth.", PolicyAnswer("Please tell me your date of birth.", "model")),
        ("<stop />", PolicyAnswer(None, "model")),
        (" <stop />\n", PolicyAnswer(None, "model")),
        ("Thank you. <stop />", PolicyAnswer(None, "repaired")),
        ("Which city? And which day?", PolicyAnswer("Which city?", "repaired")),
        ("您多大年纪？您对什么药物过敏吗？", PolicyAnswer("您多大年纪？", "repaired")),
        ("请问您今年多大了？", PolicyAnswer("请问您今年多大了？", "model")),
        ("كم عمرك؟ هل لديك حساسية؟", PolicyAnswer("كم عمرك؟", "repaired")),
        ("Which\u00a0city\u200b?", PolicyAnswer("Which city?", "model")),
        ("\u200b\ufeff", PolicyAnswer(PACK.fallback, "fallback")),
        (
            "Fine. Which city is it? Which day is it? How many?",
            PolicyAnswer("Fine. Which city is it?", "repaired"),
        ),
        # The first sentence loops, so the whole text is not a fluent question, but the second sentence is.
        ("no no no no no no. Which city is it?", PolicyAnswer("Which city is it?", "repaired")),
        ("I'm sorry, I can't help with that.", PolicyAnswer(PACK.fallback, "fallback")),
        ("Your order is ready.", PolicyAnswer(PACK.fallback, "fallback")),
        ("", PolicyAnswer(PACK.fallback, "fallback")),
        ("?", PolicyAnswer(PACK.fallback, "fallback")),
    ],
)
def test_one_question_or_a_stop(text: str, expected: PolicyAnswer):
    assert answer(text) == expected


def test_a_policy_that_was_never_offered_a_stop_cannot_take_it():
    assert answer("<stop />", may_stop=False) == PolicyAnswer(PACK.fallback, "fallback")
    assert answer("Which city? <stop />", may_stop=False) == PolicyAnswer("Which city?", "model")


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
    assert PolicyAnswer(None, "model").message.content == "<stop />"
    assert answer("Which city?").message.author == "policy"
