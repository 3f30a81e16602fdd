"""Decision points, end markers, the end of a session, and its one stop."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from learntoask.core.pack import Pack
from learntoask.core.records import STOP, EndReason, Session
from learntoask.labeling.logs.parsing import LogMessage, LogSession
from learntoask.labeling.logs.quarantine import Reason, Rejected
from learntoask.labeling.logs.sessions import SessionRules, build_session, strip_markers

MARK = "<med_search>"


def pack(**changes: Any) -> Pack:
    fields = [
        {"name": "age", "patterns": ["how old", "your age"]},
        {"name": "symptom", "patterns": ["symptom"]},
    ]
    return Pack.model_validate(
        {"name": "clinic", "endMarkers": [MARK], "tasks": [{"name": "t", "fields": fields}], **changes}
    )


def log(*lines: str) -> LogSession:
    """A log from lines `u: …` by the user, `e: …` by the expert, and `p: …` by a policy."""
    messages = []
    for line in lines:
        author, content = line[0], line[3:]
        role = "user" if author == "u" else "assistant"
        messages.append(LogMessage(role, content, {"u": "user", "e": "expert", "p": "policy"}[author]))
    return LogSession("s", "t", None, messages, {})


def build(*lines: str, **changes: Any) -> Session:
    return build_session(log(*lines), SessionRules.of(pack(**changes)))[0]


def turns(session: Session) -> list[tuple[int, int]]:
    return [(turn.start, turn.end) for turn in session.turns]


def test_a_burst_is_one_turn_and_greetings_before_the_user_are_none() -> None:
    session = build(
        "e: Welcome!",
        "u: hi",
        "e: One moment.",
        "e: How old are you?",
        "u: 30",
        "u: and well",
        f"e: Ok {MARK}",
    )
    assert turns(session) == [(2, 4), (6, 7)]
    assert session.stop_turn == 1
    assert session.end is EndReason.COMPLETED


def test_markers_go_and_indices_stay() -> None:
    session = build("u: hi", f"e: Take this. {MARK}", f"u: thanks {MARK}")
    assert [message.content for message in session.messages] == ["hi", "Take this.", "thanks"]
    silent = build("u: hi", f"e: {MARK}")
    assert silent.messages[1].content == ""
    assert turns(silent) == [(1, 1)]  # the expert acted without any text
    assert silent.stop_turn == 0


def test_the_first_act_is_the_stop_and_nothing_after_it_a_decision_point() -> None:
    lines = (
        "u: hi",
        "e: How old?",
        "u: 30",
        f"e: Done {MARK}",
        "u: and my son?",
        "e: How old is he?",
        "u: 4",
        f"e: {MARK}",
    )
    session, acts = build_session(log(*lines), SessionRules.of(pack()))
    assert turns(session) == [(1, 2), (3, 4)]
    assert session.stop_turn == 1
    assert len(session.messages) == 8
    assert acts == 2


def test_an_act_in_the_middle_of_a_burst_is_the_stop_of_its_turn() -> None:
    session = build("u: hi", "e: Thanks.", f"e: {MARK}", "e: I found something.", "u: great")
    assert turns(session) == [(1, 4)]
    assert session.stop_turn == 0


def test_turns_of_a_policy_are_context_and_its_stop_is_no_stop() -> None:
    served = build("u: hi", "p: How old are you?", "u: 30", "e: Which symptom?", "u: cough", f"p: {STOP}")
    assert turns(served) == [(3, 4)]
    assert served.stop_turn is None
    assert served.end is EndReason.COMPLETED
    assert served.messages[5].content == ""


def test_a_run_with_a_policy_in_it_is_no_decision_of_the_expert() -> None:
    taken_over = build("u: hi", "p: How old are you?", "e: Sorry, a human here.", "u: 30", f"e: Fine. {MARK}")
    assert turns(taken_over) == [(4, 5)]
    acted = build("u: hi", "e: How old?", "u: 30", "p: And the symptom?", f"e: Not needed. {MARK}", "u: ok")
    assert turns(acted) == [(1, 2)]
    assert acted.stop_turn is None
    assert acted.end is EndReason.COMPLETED


def test_a_user_message_that_was_only_a_marker_ends_no_turn() -> None:
    session = build("u: hi", "e: How old?", f"u: {MARK}", "e: Hello?", "u: 30", f"e: {MARK}")
    assert turns(session) == [(1, 4), (5, 5)]


ENDINGS: list[tuple[str, dict[str, Any], list[str], EndReason, int | None]] = [
    ("marker, then thanks", {}, ["u: hi", f"e: Done {MARK}", "u: thanks"], EndReason.COMPLETED, 0),
    ("user has the last word", {}, ["u: hi", "e: How old?", "u: wait"], EndReason.ABANDONED, None),
    ("question never answered", {}, ["u: hi", "e: Anything else?"], EndReason.ABANDONED, None),
    ("imperative never answered", {}, ["u: hi", "e: I need your age please."], EndReason.ABANDONED, None),
    (
        "expert has the last word",
        {},
        ["u: hi", "e: How old?", "u: 3", "e: Take this."],
        EndReason.COMPLETED,
        1,
    ),
    (
        "advice, then a farewell: the advice is the act",
        {},
        ["u: hi", "e: How old?", "u: 3", "e: Take this.", "u: thanks", "e: Bye!"],
        EndReason.COMPLETED,
        1,
    ),
    (
        "no marker where one is required",
        {"requireEndMarker": True},
        ["u: hi", "e: How old?", "u: 3", "e: Take this."],
        EndReason.ABANDONED,
        None,
    ),
    (
        "an action is recognised where there is no marker",
        {"actionPatterns": ["prescribed"]},
        ["u: hi", "e: How old?", "u: 3", "e: I prescribed it. Ok?", "u: yes"],
        EndReason.COMPLETED,
        1,
    ),
    (
        "actions are known and none happened",
        {"actionPatterns": ["prescribed"]},
        ["u: hi", "e: How old?", "u: 3", "e: Bye."],
        EndReason.ABANDONED,
        None,
    ),
    (
        "a marker outranks an earlier look-alike of a hand-over",
        {"handoffPatterns": ["pass (it|you) on"]},
        ["u: hi", "e: I will pass it on. How old?", "u: 3", f"e: {MARK}"],
        EndReason.COMPLETED,
        1,
    ),
    (
        "a hand-over with a marker",
        {"handoffPatterns": ["pass (it|you) on"]},
        ["u: hi", f"e: I pass you on {MARK}", "u: ok"],
        EndReason.HANDOFF,
        0,
    ),
    (
        "a hand-over without the required marker",
        {"handoffPatterns": ["pass (it|you) on"], "requireEndMarker": True},
        ["u: hi", "e: How old?", "u: 3", "e: I pass you on, all right?", "u: ok"],
        EndReason.HANDOFF,
        1,
    ),
    (
        "words of a hand-over while the expert goes on asking",
        {"handoffPatterns": ["pass (it|you) on"]},
        ["u: hi", "e: I will pass it on. How old?", "u: 3", "e: Are you there?"],
        EndReason.ABANDONED,
        None,
    ),
]


@pytest.mark.parametrize(
    ("changes", "lines", "end", "stop"), [case[1:] for case in ENDINGS], ids=[case[0] for case in ENDINGS]
)
def test_how_sessions_end(
    changes: dict[str, Any], lines: list[str], end: EndReason, stop: int | None
) -> None:
    session = build(*lines, **changes)
    assert (session.end, session.stop_turn) == (end, stop)
    assert stop is None or stop == len(session.turns) - 1


REFUSED = [
    (["e: Hello?", "e: Anybody?"], {}, Reason.NO_USER_MESSAGE),
    (["e: Hello?", f"u: {MARK}"], {}, Reason.NO_USER_MESSAGE),
    (["u: hello?", "u: anybody?"], {}, Reason.NO_EXPERT_TURN),
    (["u: hi", "p: How old?", "u: 3", f"p: {STOP}"], {}, Reason.NO_EXPERT_TURN),
    ([f"e: Done {MARK}", "u: hi", "e: Bye"], {}, Reason.NO_EXPERT_TURN),
    (["u: hi", f"e: {MARK}", "u: hello?", f"e: {MARK}"], {}, Reason.ONLY_STOPS),
    (["u: hi, just a TEST", f"e: {MARK}"], {"exclusions": [r"\btest\b"]}, Reason.EXCLUDED),
]


@pytest.mark.parametrize(("lines", "changes", "reason"), REFUSED)
def test_sessions_without_a_decision_point(lines: list[str], changes: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(Rejected) as caught:
        build(*lines, **changes)
    assert caught.value.reason is reason


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["<stop", ">", "<stop>", " ", "a", "<", "st<stop>op", "<stop />"]), max_size=8)
)
@example(["<st", "<stop>", "op>"])
def test_nothing_left_of_a_marker_is_a_marker(pieces: list[str]) -> None:
    markers = re.compile("<stop>|<stop />")
    text = "".join(pieces)
    stripped = strip_markers(text, markers)
    assert not markers.search(stripped)
    if not markers.search(text):
        assert stripped == text.strip()


CONTENTS = [
    "hello",
    "How old are you?",
    "Take this.",
    MARK,
    f"Done {MARK}",
    STOP,
    f"{MARK[:4]}{MARK}{MARK[4:]}",
    "I pass you on",
]


@settings(deadline=None)
@given(
    lines=st.lists(
        st.tuples(st.sampled_from("uuep"), st.sampled_from(CONTENTS)).map(
            lambda pair: f"{pair[0]}: {pair[1]}"
        ),
        min_size=1,
        max_size=12,
    ),
    require=st.booleans(),
    stop_words=st.sampled_from([[], ["take this"]]),
)
def test_sessions_keep_their_invariants(lines: list[str], require: bool, stop_words: list[str]) -> None:
    changes = {"requireEndMarker": require, "actionPatterns": stop_words, "handoffPatterns": ["pass you on"]}
    try:
        session = build(*lines, **changes)
    except Rejected:
        return
    assert len(session.messages) == len(lines)
    assert not any(marker in message.content for message in session.messages for marker in (MARK, STOP))
    assert session.turns
    spoken = [i for i, message in enumerate(session.messages) if message.content]
    for turn in session.turns:
        before = [i for i in spoken if i < turn.start]
        assert before  # the user has spoken …
        assert session.messages[before[-1]].role == "user"  # … and writes the last message of every context
        assert all(session.messages[i].author != "policy" for i in range(turn.start, turn.end))
    starts = [turn.start for turn in session.turns]
    assert starts == sorted(set(starts))
    assert session.stop_turn in (None, len(session.turns) - 1)
    if session.end is EndReason.ABANDONED:
        assert session.stop_turn is None
