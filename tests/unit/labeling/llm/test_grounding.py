"""Quotes, values and acts count only if the log contains them."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, Message, Session, Turn
from learntoask.labeling.labellers.protocol import Exchange
from learntoask.labeling.llm.extraction import (
    ActingExtraction,
    Extraction,
    ModelFindings,
    Span,
    Ungrounded,
    form_for,
    read_extraction,
)
from learntoask.labeling.llm.grounding import contains_quote, normalise
from pydantic import ValidationError

PACK = Pack.model_validate(
    {
        "name": "trains",
        "tasks": [
            {
                "name": "ticket",
                "fields": [
                    {"name": "city"},
                    {"name": "date"},
                    {"name": "seat", "values": ["Window", "Aisle"]},
                ],
            }
        ],
    }
)
TASK = PACK.tasks[0]
FORM = form_for(("city", "date", "seat"), acts=True)
ROLES = {"u": ("user", "user"), "e": ("assistant", "expert"), "p": ("assistant", "policy")}


def session_of(*lines: str) -> Session:
    messages = tuple(
        Message(role=ROLES[line[0]][0], author=ROLES[line[0]][1], content=line[3:])  # type: ignore[arg-type]
        for line in lines
    )
    turns = tuple(Turn(start=i, end=i + 1) for i, one in enumerate(messages) if one.author == "expert" and i)
    return Session(
        session_id="s",
        split="train",
        task="ticket",
        messages=messages,
        turns=turns,
        end=EndReason.COMPLETED,
        stop_turn=None,
    )


LOG = session_of(
    "u: A ticket to Ghent, please",
    "e: From which city? And when?",
    "u: From Lyon. I don’t  know yet when",
    "e: Window or aisle? And which day, again?",
    "u: the window one. On  3 May",
    "e: Here is your ticket.",
)


def read(*items: dict[str, Any], act: Any = None, start: int = 1) -> ModelFindings | Ungrounded:
    found = FORM.model_validate({"items": items, "act": act})
    return read_extraction(found, LOG, TASK, Span(start, 6))


def item(field: str, asked: int, quote: str | None, value: str | None) -> dict[str, Any]:
    return {"field": field, "asked": asked, "quote": quote, "value": value}


def test_what_the_log_bears_out_is_read() -> None:
    reading = read(
        item("city", 1, "from lyon", "LYON"),
        item("date", 1, None, None),
        item("seat", 3, "the window one", "window"),
        item("date", 3, "on 3 may", "3 May"),
        act={"message": 5, "quote": "here is your Ticket"},
    )
    assert reading == ModelFindings(
        (
            Exchange("city", 1, "LYON", 2),
            Exchange("date", 1),
            Exchange("seat", 3, "Window", 4),  # as the pack writes it
            Exchange("date", 3, "3 May", 4),
        ),
        act=5,
    )


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (item("city", 1, "From Paris", "Paris"), "no message of the user after message 1 says 'From Paris'"),
        (
            item("city", 1, "A ticket to Ghent", "Ghent"),
            "no message of the user after message 1",
        ),  # before the span
        (
            item("city", 3, "From Lyon", "Lyon"),
            "no message of the user after message 3",
        ),  # before it was asked
        (item("city", 1, "From which city", "city"), "no message of the user"),  # a quote of the expert
        (item("city", 1, "aus Lyon", "Lyon"), "no message of the user"),  # another language
        (item("city", 1, "From Lyon", "Lyons"), "the value 'Lyons' is neither in the quote"),
        (item("city", 1, "From Lyon", "Ly"), "the value 'Ly' is neither in the quote"),
        (item("city", 1, "don't know", "unknown"), "the value 'unknown' is neither"),
        (item("city", 1, "", ""), "no message of the user"),
        (item("city", 1, " . ", "."), "no message of the user"),
        (item("city", 1, "From Lyon", None), "give both quote and value"),
        (item("city", 1, None, "Lyon"), "give both quote and value"),
        (item("city", 2, "On 3 May", "3 May"), "message 2 is not one of the expert's from 1 to 5"),
        (item("city", 9, "On 3 May", "3 May"), "message 9 is not one of the expert's"),
        (item("city", -1, None, None), "message -1 is not one of the expert's"),
    ],
)
def test_what_it_does_not_bear_out_is_refused_with_the_reason(found: dict[str, Any], problem: str) -> None:
    refused = read(item("seat", 3, "window", "window"), found)
    assert isinstance(refused, Ungrounded)
    assert len(refused.problems) == 1
    assert f"item 2 ({found['field']}): {problem}" in refused.problems[0]


def test_at_a_later_turn_only_its_own_future_counts() -> None:
    refused = read(item("city", 1, "From Lyon", "Lyon"), start=3)
    assert refused == Ungrounded(("item 1 (city): message 1 is not one of the expert's from 3 to 5",))


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        ({"message": 5, "quote": "your booking"}, "message 5 does not say 'your booking'"),
        ({"message": 4, "quote": "On 3 May"}, "message 4 is not one of the expert's"),
        ({"message": 6, "quote": "Here is"}, "message 6 is not one of the expert's"),
        ({"message": 1, "quote": "from which city"}, "still asks for seat in message 3"),
    ],
)
def test_an_act_is_grounded_too(act: dict[str, Any], problem: str) -> None:
    refused = read(item("seat", 3, "window", "window"), act=act)
    assert isinstance(refused, Ungrounded)
    assert problem in refused.problems[0]


def test_only_the_task_s_own_fields_have_the_form() -> None:
    with pytest.raises(ValidationError, match=r"items\.0\.field"):
        FORM.model_validate({"items": [item("price", 1, None, None)], "act": None})
    with pytest.raises(ValidationError, match="act"):
        FORM.model_validate({"items": []})
    assert not issubclass(form_for(("city",), acts=False), ActingExtraction)
    assert issubclass(FORM, Extraction)


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
sentences = st.lists(words, min_size=1, max_size=8).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.text(string.ascii_letters + string.digits, min_size=1), min_size=1), st.data())
def test_any_run_of_whole_words_is_said_however_it_is_spaced_and_cased(parts: list[str], data: Any) -> None:
    begin = data.draw(st.integers(0, len(parts) - 1))
    end = data.draw(st.integers(begin + 1, len(parts)))
    quote = data.draw(st.sampled_from(["  ", "\n", "\t "])).join(parts[begin:end])
    cased = data.draw(st.sampled_from([str.upper, str.lower, str.swapcase]))(quote)
    assert contains_quote(" ".join(parts), cased)


@settings(deadline=None)
@given(text=sentences, quote=sentences)
def test_what_is_said_is_in_the_text_and_not_within_a_word(text: str, quote: str) -> None:
    if contains_quote(text, quote):
        folded, words = normalise(text), normalise(quote)
        assert words in folded
        if words.isascii() and folded.isascii():
            assert (
                f" {words} " in f" {''.join(s if s.isalnum() else ' ' for s in folded)} "
                or not words.isalnum()
            )


@settings(deadline=None)
@given(text=sentences)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("text", "quote", "said"),
    [
        ("I know", "no", False),
        ("no, never", "no", True),
        ("room 30", "3", False),
        ("it’s “fine” – thanks", 'it\'s "fine" - thanks', True),
        ("ＡＢＣ１２", "abc12", True),
        ("已经三天了", "三天", True),  # a script without spaces
        ("ปวดหัวสามวัน", "สามวัน", True),
        ("Straße 4", "STRASSE 4", True),
        ("42 kg", "42", True),
        ("well...", "...", False),
        ("", "a", False),
    ],
)
def test_whole_words_in_any_script(text: str, quote: str, said: bool) -> None:
    assert contains_quote(text, quote) is said


@settings(deadline=None, max_examples=200)
@given(
    items=st.lists(
        st.fixed_dictionaries(
            {
                "field": st.sampled_from(["city", "date", "seat"]),
                "asked": st.integers(-1, 7),
                "quote": st.none() | sentences | st.sampled_from([one.content for one in LOG.messages]),
                "value": st.none() | words | st.sampled_from(["Lyon", "Window", "3 May", "Ghent"]),
            }
        ),
        max_size=3,
    ),
    start=st.sampled_from([1, 3, 5]),
)
def test_no_exchange_without_a_user_s_words_in_the_observed_future(
    items: list[dict[str, Any]], start: int
) -> None:
    reading = read(*items, start=start)
    for one in reading.exchanges if isinstance(reading, ModelFindings) else ():
        assert LOG.messages[one.asked].role == "assistant"
        assert one.asked >= start
        if one.value is None:
            assert one.answered is None
            continue
        assert one.answered is not None
        assert one.answered > one.asked >= start
        said = LOG.messages[one.answered]
        assert said.role == "user"
        assert normalise(one.value) in normalise(said.content) or one.value in ("Window", "Aisle")
