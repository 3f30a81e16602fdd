"""Pure checks of requests that the wire tests do not reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.pack import Pack
from learntoask.core.records import STOP, Message
from learntoask.rpc.requests import InvalidRequest, check_bytes
from learntoask.serving.input_checks import check_answerable, checked_task, context_of

MANY = Pack.model_validate(
    {"name": "many", "tasks": [{"name": f"t{n:02}", "fields": [{"name": "f"}]} for n in range(12)]}
)


def test_without_a_default_task_every_request_must_name_one():
    with pytest.raises(InvalidRequest, match="no default; known tasks: t00, t01") as found:
        checked_task("", MANY)
    assert found.value.field == "task"
    assert "and 4 more" in str(found.value)
    assert checked_task("t11", MANY) == "t11"


@given(st.text(max_size=40), st.integers(1, 80))
def test_sizes_are_bytes(text: str, limit: int):
    if len(text.encode("utf-8", errors="surrogatepass")) <= limit:
        check_bytes("goal", text, most=limit)
    else:
        with pytest.raises(InvalidRequest):
            check_bytes("goal", text, most=limit)


@pytest.mark.parametrize(
    "text", ["\u200b\u200b", "\u00a0\u3000", "\u202b\u202c", "\ufe0f", "<p>&nbsp;</p><br/>"]
)
def test_a_message_that_shows_nothing_is_empty(text: str) -> None:
    said = Message(role="user", content=text, author="user")
    context = context_of([said], task="t00", goal="", pack=MANY)
    with pytest.raises(InvalidRequest, match="the user's last message is empty"):
        check_answerable(context.messages, field="messages")


def test_the_policy_reads_messages_as_training_read_them() -> None:
    said = Message(role="user", content="<b>My\u00a0head</b> hurts,\u200b I&#39;m ill", author="user")
    (message,) = context_of([said], task="t00", goal="", pack=MANY).messages
    assert message.content == "My head hurts, I'm ill"


@given(st.lists(st.sampled_from(["<end>", STOP, "<e", "nd>", " ", "word", "<st"]), max_size=8))
def test_no_marker_survives_in_a_context_not_even_one_made_of_two(parts: list[str]):
    pack = MANY.model_copy(update={"end_markers": ("<end>",)})
    said = Message(role="assistant", content="".join(parts), author="expert")
    (message,) = context_of([said], task="t00", goal="", pack=pack).messages
    assert "<end>" not in message.content
    assert STOP not in message.content
    if message.content == said.content:
        assert message is said
