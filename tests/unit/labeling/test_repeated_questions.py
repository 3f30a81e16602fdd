"""Questions that ask again for what was asked or given."""

from __future__ import annotations

import pytest
from learntoask.core.pack import Pack
from learntoask.core.records import STOP, Message
from learntoask.labeling.repeated_questions import RepeatReader

PACK = Pack.model_validate(
    {
        "name": "desk",
        "fallback": "Could you tell me more?",
        "tasks": [
            {
                "name": "default",
                "fields": [
                    {"name": "date", "patterns": ["when", "which day"], "answerPatterns": [r"\b(\w+day)\b"]},
                    {"name": "city", "patterns": ["where", "which city"]},
                ],
            },
            {"name": "silent", "fields": [{"name": "anything"}]},
        ],
    }
)
READER = RepeatReader(PACK)


def said(*texts: str) -> list[Message]:
    return [
        Message(role="assistant", content=text, author="policy")
        if index % 2
        else Message(role="user", content=text, author="user")
        for index, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("before", "question", "expected"),
    [
        (("hello",), "Where to?", None),
        (("hello", "Where to?", "I don't know"), "where  TO?", "same-text"),
        (("hello", "Where to?", "I don't know"), "Which city, please?", None),
        (("hello", "Where to?", "Rome"), "Which city, please?", "known-field"),
        (("on monday",), "When do you leave?", "known-field"),
        (("on monday",), "When do you leave, and where to?", None),
        (("on monday",), "Anything else?", None),
    ],
)
def test_repetitions(before: tuple[str, ...], question: str, expected: str | None) -> None:
    assert READER.read("", said(*before)).repetition(question) == expected


def test_a_question_of_an_expert_is_not_put_again_either() -> None:
    asked = Message(role="assistant", content="Where to?", author="expert")
    assert READER.read("", [*said("hello"), asked]).repetition("Where to?") == "same-text"


def test_required_fields_are_known_missing_or_cannot_be_told() -> None:
    assert READER.read("", said("on monday")).all_known is False
    assert READER.read("", said("on monday", "Where to?", "Rome")).all_known is True
    assert READER.read("silent", said("hello")).all_known is None


def test_the_last_resort_is_a_stop_unless_something_is_missing() -> None:
    known = said("on monday", "Where to?", "Rome")
    assert READER.read("", known).last_resort(may_stop=True) == STOP
    assert READER.read("silent", said("hello")).last_resort(may_stop=True) == STOP
    assert READER.read("", said("on monday")).last_resort(may_stop=True) == PACK.fallback
    assert READER.read("", said("on monday", PACK.fallback, "no")).last_resort(may_stop=True) == STOP
    assert READER.read("", known).last_resort(may_stop=False) == PACK.fallback
