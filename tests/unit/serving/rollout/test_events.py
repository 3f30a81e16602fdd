"""Harmful events that the messages of a conversation show."""

from __future__ import annotations

import pytest
from learntoask.core.pack import Pack
from learntoask.core.records import STOP, Message
from learntoask.serving.rollout.events import EventReader

PACK = Pack.model_validate(
    {
        "name": "desk",
        "tasks": [
            {
                "name": "default",
                "fields": [
                    {"name": "date", "patterns": ["when", "which day"], "answerPatterns": [r"\b(\w+day)\b"]},
                    {"name": "city", "patterns": ["where", "which city"]},
                    {"name": "seat", "patterns": ["which seat"], "required": False},
                ],
            },
            {"name": "silent", "fields": [{"name": "anything"}]},
        ],
    }
)
READER = EventReader(PACK)


def conversation(*said: str) -> list[Message]:
    """Messages that alternate, beginning with the user's; `expert:` begins one of an expert."""
    messages = []
    for index, text in enumerate(said):
        user, expert = index % 2 == 0, text.startswith("expert:")
        author = "user" if user else "expert" if expert else "policy"
        messages.append(Message(role="user" if user else "assistant", content=text, author=author))
    return messages


CASES = [
    (("hello", "When do you leave?", "monday", "Where to?", "Rome", STOP), set()),
    (("hello", "When do you leave?", "monday", STOP), {"stoppedEarly"}),
    (("leaving monday", "Where to?", "Rome", STOP), set()),
    (("hello", STOP), {"stoppedEarly"}),
    (("on monday", "Where to?", "Rome", "Which seat?"), {"askedAfterKnown"}),
    (("hello", "When do you leave?", "say that again please", "When do you leave?"), {"repeatedQuestion"}),
    (("on monday", "Which day suits you?"), {"repeatedQuestion"}),
    (("hello", "When do you leave?", "I don't know"), {"nonAnswer"}),
    (("hello", "When do you leave?", "monday", "expert: I take over."), {"takenOver"}),
    (("hello", "expert: hi", "monday", "Where to?"), set()),
    (("hello", STOP, "wait", "When do you leave?", "I don't know"), {"stoppedEarly"}),
    ((), set()),
]


@pytest.mark.parametrize(("said", "expected"), CASES, ids=[" | ".join(said)[:50] for said, _ in CASES])
def test_events_of_conversations(said: tuple[str, ...], expected: set[str]) -> None:
    found = READER.events("", conversation(*said))
    assert {name for name, happened in found.items() if happened} == expected
    assert set(found) == {"stoppedEarly", "askedAfterKnown", "repeatedQuestion", "nonAnswer", "takenOver"}


def test_a_task_without_patterns_shows_no_stop_that_came_too_early() -> None:
    found = READER.events("silent", conversation("hello", STOP))
    assert "stoppedEarly" not in found
    assert "askedAfterKnown" not in found


def test_a_greeting_is_not_a_question_that_was_not_answered() -> None:
    greeting = Message(role="assistant", content="Hello, how can I help?", author="policy")
    found = READER.events("", [greeting, *conversation("ok", "When do you leave?", "monday")])
    assert not any(found.values())


def test_faults_are_those_of_the_last_answer_alone() -> None:
    assert READER.faults("", conversation("hello", "When?", "what?", "When?")) == 1
    assert READER.faults("", conversation("hello", "When?", "what?", "When?", "monday", "Where to?")) == 0
    assert READER.faults("", conversation("hello", STOP)) == 1
