"""Every rule of a well-formed log line: what is rejected, with which reason and key, and what is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.manifest import Dataset
from learntoask.core.pack import Pack
from learntoask.labeling.logs.lines import LogLine
from learntoask.labeling.logs.parsing import LogFormat, LogSession, parse_session
from learntoask.labeling.logs.quarantine import Reason, Rejected

FIELD = {"name": "age"}
PACK = Pack.model_validate(
    {
        "name": "clinic",
        "roles": {"userAliases": ["Patient"], "expertAliases": ["Doctor", "nurse"]},
        "tasks": [{"name": "intake", "fields": [FIELD]}, {"name": "refill", "fields": [FIELD]}],
    }
)
LIMITS = Dataset(uri="logs.jsonl", max_message_bytes=1000, max_messages=6, max_line_bytes=1 << 20)
FORM = LogFormat.of(PACK, LIMITS)
USER = {"role": "user", "content": "hello"}
EXPERT = {"role": "assistant", "content": "How old are you?"}


def log(**changes: Any) -> dict[str, Any]:
    session = {"session_id": "a", "task": "intake", "messages": [USER, EXPERT]}
    return {key: value for key, value in {**session, **changes}.items() if value is not ...}


def parse(text: bytes | dict[str, Any], form: LogFormat = FORM) -> LogSession:
    return parse_session(LogLine(1, text if isinstance(text, bytes) else json.dumps(text).encode(), 0), form)


def refusal(text: bytes | dict[str, Any], form: LogFormat = FORM) -> Rejected:
    with pytest.raises(Rejected) as caught:
        parse(text, form)
    return caught.value


BAD_BYTES = [
    (b'{"session_id": "a", "messages": [', Reason.MALFORMED_JSON, "column"),
    (b"session_id;role;content", Reason.MALFORMED_JSON, "one JSON object"),
    (b'{"session_id": NaN}', Reason.MALFORMED_JSON, "NaN is no value of JSON; write null or a number"),
    (b'{"score": [1, -Infinity]}', Reason.MALFORMED_JSON, "-Infinity is no value of JSON"),
    (b'{"score": 1e999}', Reason.MALFORMED_JSON, "the number 1e999 is too large"),
    (b'{"id": ' + b"9" * 5000 + b"}", Reason.MALFORMED_JSON, "has 5000 digits"),
    (b'{"goal": "a", "b": {"goal": 1, "goal": 2}}', Reason.DUPLICATE_KEY, "key 'goal' is given 2 times"),
    (b'{"session_id": "a", "session_id": "b"}', Reason.DUPLICATE_KEY, "keep one of them"),
    (b"[" * 100_000, Reason.MALFORMED_JSON, "JSON"),
    (b'["user", "hello"]', Reason.NOT_A_SESSION, "a list"),
    (b"12", Reason.NOT_A_SESSION, "a number"),
    ('{"session_id": "ä"}'.encode("latin-1"), Reason.INVALID_UTF8, "byte 17"),
    ("\ufeff{}".encode("utf-16-le"), Reason.INVALID_UTF8, "UTF-16"),
]


@pytest.mark.parametrize(("text", "reason", "says"), BAD_BYTES)
def test_bytes_that_are_no_session(text: bytes, reason: Reason, says: str) -> None:
    refused = refusal(text)
    assert refused.reason is reason
    assert says in str(refused)


BAD_KEYS = [
    ({"session_id": ...}, Reason.MISSING_SESSION_ID, "session_id"),
    ({"session_id": None}, Reason.MISSING_SESSION_ID, "session_id"),
    ({"session_id": ""}, Reason.MISSING_SESSION_ID, "session_id"),
    ({"session_id": True}, Reason.MISSING_SESSION_ID, "session_id"),
    ({"session_id": "x" * 1001}, Reason.MISSING_SESSION_ID, "session_id"),
    ({"messages": ...}, Reason.NO_MESSAGES, "messages"),
    ({"messages": []}, Reason.NO_MESSAGES, "messages"),
    ({"messages": "hello"}, Reason.NO_MESSAGES, "messages"),
    ({"messages": [USER, EXPERT] * 4}, Reason.TOO_MANY_MESSAGES, "messages"),
    ({"messages": [USER, "hi"]}, Reason.WRONG_MESSAGE, "messages[1]"),
    ({"messages": [USER, {"role": "assistant"}]}, Reason.WRONG_MESSAGE, "messages[1].content"),
    ({"messages": [USER, {**EXPERT, "content": ["hi"]}]}, Reason.WRONG_MESSAGE, "messages[1].content"),
    ({"messages": [USER, {**EXPERT, "content": ""}]}, Reason.EMPTY_MESSAGE, "messages[1].content"),
    ({"messages": [{**USER, "content": " \n\t"}, EXPERT]}, Reason.EMPTY_MESSAGE, "messages[0].content"),
    ({"messages": [{**USER, "content": "x" * 1001}]}, Reason.MESSAGE_TOO_LONG, "messages[0].content"),
    ({"messages": [{**USER, "content": "é" * 501}]}, Reason.MESSAGE_TOO_LONG, "messages[0].content"),
    ({"messages": [{"content": "hi"}]}, Reason.WRONG_ROLE, "messages[0].role"),
    ({"messages": [{**USER, "role": "system"}]}, Reason.WRONG_ROLE, "messages[0].role"),
    ({"messages": [{**USER, "role": 1}]}, Reason.WRONG_ROLE, "messages[0].role"),
    ({"messages": [{**USER, "author": "expert"}]}, Reason.WRONG_AUTHOR, "messages[0].author"),
    ({"messages": [USER, {**EXPERT, "author": "user"}]}, Reason.WRONG_AUTHOR, "messages[1].author"),
    ({"messages": [USER, {**EXPERT, "author": {}}]}, Reason.WRONG_AUTHOR, "messages[1].author"),
    ({"goal": 7}, Reason.WRONG_GOAL, "goal"),
    ({"goal": "x" * 2001}, Reason.WRONG_GOAL, "goal"),
    ({"task": "refil"}, Reason.UNKNOWN_TASK, "task"),
    ({"task": ...}, Reason.UNKNOWN_TASK, "task"),
]


@pytest.mark.parametrize(("changes", "reason", "where"), BAD_KEYS)
def test_keys_at_fault_are_named(changes: dict[str, Any], reason: Reason, where: str) -> None:
    refused = refusal(log(**changes))
    assert (refused.reason, refused.where) == (reason, where)
    assert str(refused).startswith(f"{where}: ")
    assert ";" in str(refused)  # … what is wrong; what to do


def test_half_an_emoji_costs_neither_its_session_nor_its_text() -> None:
    text = json.dumps(
        log(note="cut \ud83d", messages=[{**USER, "content": "hi \ud83d\ude00 \ude00"}, EXPERT])
    )
    session = parse(text.replace("cut", "C:\\\\ud83d").encode())
    assert session.messages[0].content == "hi \U0001f600 \ufffd"
    assert session.extras == {"note": "C:\\ud83d \ufffd"}


def test_the_longest_allowed_message_passes() -> None:
    assert parse(log(messages=[{**USER, "content": "é" * 500}])).messages[0].content == "é" * 500


def test_a_line_that_was_too_long_to_read() -> None:
    with pytest.raises(Rejected) as caught:
        parse_session(LogLine(1, b"{", 0, too_long=True), FORM)
    assert caught.value.reason is Reason.LINE_TOO_LONG
    assert "maxLineBytes" in str(caught.value)


def test_a_misspelt_task_is_told_the_nearest() -> None:
    assert "did you mean 'refill'?" in str(refusal(log(task="refil")))


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("user", "user"),
        ("assistant", "assistant"),
        ("patient", "user"),
        (" DOCTOR ", "assistant"),
        ("Nurse", "assistant"),
    ],
)
def test_role_words_of_the_pack(word: str, role: str) -> None:
    assert parse(log(messages=[{"role": word, "content": "hi"}])).messages[0].role == role


def test_authors_default_by_role_and_a_policy_is_told_apart() -> None:
    session = parse(log(messages=[USER, {**EXPERT, "author": "policy"}, EXPERT]))
    assert [message.author for message in session.messages] == ["user", "policy", "expert"]


def test_numbers_serve_as_ids_and_other_keys_are_kept() -> None:
    session = parse(log(session_id=12, split="dev", annotations={"turns": []}, goal="Find a remedy."))
    assert session.session_id == "12"
    assert session.goal == "Find a remedy."
    assert session.extras == {"split": "dev", "annotations": {"turns": []}}


def test_keys_beside_role_and_content_are_kept_per_message() -> None:
    session = parse(log(messages=[{**USER, "at": "10:02"}, EXPERT]))
    assert session.extras["messages"] == [{"at": "10:02"}, {}]


def test_a_task_may_be_named_by_several_paths() -> None:
    pack = Pack.model_validate(
        {
            "name": "bookings",
            "taskFrom": ["annotations.service", "annotations.intent"],
            "tasks": [{"name": "Hotels_1/Book", "fields": [FIELD]}, {"name": "default", "fields": [FIELD]}],
        }
    )
    form = LogFormat.of(pack, LIMITS)
    named = log(annotations={"service": "Hotels_1", "intent": "Book"}, task=...)
    assert parse(named, form).task == "Hotels_1/Book"
    assert parse(log(task=...), form).task == "default"
    half = refusal(log(annotations={"service": "Hotels_1"}), form)
    assert half.reason is Reason.UNKNOWN_TASK
    assert half.where == "annotations.service and annotations.intent"


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["session_id", "messages", "role", "content", "author", "task", "goal"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_session_or_a_refusal(value: Any) -> None:
    try:
        session = parse(json.dumps(value).encode())
    except Rejected:
        return
    assert session.task in PACK.task_by_name
    assert all(message.content.strip() for message in session.messages)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_session_or_a_refusal(text: bytes) -> None:
    with pytest.raises(Rejected):
        parse(text)
