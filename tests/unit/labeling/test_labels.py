"""From sessions to samples: micro-goals, both labellers, dropped turns, moved stops, and failures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, Provenance, Session
from learntoask.labeling.labellers.annotated import AnnotatedLabeller
from learntoask.labeling.labellers.lexicon import LexiconLabeller
from learntoask.labeling.labellers.protocol import (
    Exchange,
    Findings,
    LabelFailure,
    Labeller,
    TurnLabel,
    micro_goals,
)
from learntoask.labeling.logs.parsing import LogMessage, LogSession
from learntoask.labeling.logs.quarantine import Reason
from learntoask.labeling.logs.sessions import SessionRules, build_session
from learntoask.labeling.samples import Labelling, make_samples

FIELDS = [
    {"name": "city", "patterns": [r"\bcity\b", r"\bwhere\b"], "answerPatterns": [r"\bin (\w+)"]},
    {"name": "date", "patterns": [r"\bwhen\b"], "answerPatterns": [r"\bon (\w+)", r"\btomorrow\b"]},
    {"name": "class", "patterns": [r"\bclass\b"], "values": ["First", "Second"]},
]
AUTHORS = {"u": ("user", "user"), "e": ("assistant", "expert"), "p": ("assistant", "policy")}


def pack(**changes: Any) -> Pack:
    return Pack.model_validate({"name": "trains", "tasks": [{"name": "ticket", "fields": FIELDS}], **changes})


def session_of(*lines: str, annotations: Any = None, **changes: Any) -> Session:
    messages = [LogMessage(*(AUTHORS[line[0]][0], line[3:], AUTHORS[line[0]][1])) for line in lines]  # type: ignore[arg-type]
    extras = {} if annotations is None else {"annotations": annotations}
    return build_session(LogSession("s", "ticket", None, messages, extras), SessionRules.of(pack(**changes)))[
        0
    ]


def label(labeller: Labeller, session: Session, **changes: Any) -> Labelling:
    return make_samples(
        session,
        labeller.label(session),
        stop_at=pack(**changes).stop_at,
        require_marker=pack(**changes).require_end_marker,
        provenance=labeller.provenance,
    )


def read(labelling: Labelling) -> list[tuple[int, str, list[str], list[str]]]:
    return [
        (
            one.turn,
            one.decision,
            list(one.requested),
            [f"{item.field}: {item.value}" for item in one.remaining],
        )
        for one in labelling.labelled.samples
    ]


exchanges = st.lists(
    st.builds(
        Exchange,
        field=st.sampled_from("abc"),
        asked=st.integers(0, 9),
        value=st.none() | st.sampled_from("xyz"),
        answered=st.integers(1, 10),
    ),
    max_size=8,
    unique_by=lambda one: (one.field, one.asked),
)


@settings(deadline=None)
@given(asked=exchanges, starts=st.sets(st.integers(0, 9), max_size=5), stop=st.none() | st.integers(0, 9))
def test_micro_goals_by_definition(asked: list[Exchange], starts: set[int], stop: int | None) -> None:
    goals = micro_goals(asked, starts=sorted(starts), stop=stop)
    for start, goal in zip(sorted(starts), goals, strict=True):
        future = sorted(
            (one for one in asked if one.asked >= start and one.value and (stop is None or one.asked < stop)),
            key=lambda one: one.asked,
        )
        assert {item.field: item.value for item in goal} == {one.field: one.value for one in future}
        assert [item.field for item in goal] == list(dict.fromkeys(one.field for one in future))


# -- lexicon ---------------------------------------------------------------------------------------------------------


def test_lexicon_asks_gives_and_what_is_left() -> None:
    session = session_of(
        "u: a ticket please",
        "e: Which city? And when?",
        "u: in Rome, on Friday",
        "e: Which class?",
        "u: second please",
        "e: Here you are. <stop>",
    )
    labelling = label(LexiconLabeller(pack()), session)
    assert read(labelling) == [
        (0, "continue", ["city", "date"], ["city: Rome", "date: Friday", "class: Second"]),
        (1, "continue", ["class"], ["class: Second"]),
        (2, "stop", [], []),
    ]
    assert [(one.field, one.value, one.message) for one in labelling.labelled.answers] == [
        ("city", "Rome", 2),
        ("date", "Friday", 2),
        ("class", "Second", 4),
    ]
    assert all(one.provenance == Provenance(labeller="lexicon") for one in labelling.labelled.samples)


@pytest.mark.parametrize(
    "reply",
    [
        "I don't know",
        "sorry, no idea",
        "dont remember tbh",
        "not really sure",
        "what do you mean?",
        "hm",
        "one moment please",
        "I'd rather not say",
        "btw do you sell coffee",
    ],
)
def test_a_reply_that_gives_nothing_is_no_answer(reply: str) -> None:
    session = session_of("u: a ticket", "e: Which city?", f"u: {reply}", "e: Here you are. <stop>")
    labelling = label(LexiconLabeller(pack()), session)
    assert read(labelling) == [(1, "stop", [], [])]
    assert labelling.empty == 1
    assert labelling.labelled.answers == ()


@pytest.mark.parametrize(
    ("reply", "value"), [("Rome", "Rome"), ("I don't know, maybe in Rome", "Rome"), ("no", "no")]
)
def test_the_only_field_asked_takes_a_reply_without_a_pattern(reply: str, value: str) -> None:
    non_answer = reply.startswith("I don't")
    session = session_of("u: a ticket", "e: Which city?", f"u: {reply}", "e: Ok. <stop>")
    assert read(label(LexiconLabeller(pack()), session))[:-1] == (
        [] if non_answer else [(0, "continue", ["city"], [f"city: {value}"])]
    )


def test_of_two_fields_the_other_one_needs_words_of_its_own() -> None:
    both = ("u: a ticket", "e: Which city? And when?")
    one = session_of(*both, "u: in Rome", "e: Ok. <stop>")
    assert read(label(LexiconLabeller(pack()), one))[0][3] == ["city: Rome"]
    two = session_of(*both, "u: in Rome", "u: the day after easter", "e: Ok. <stop>")
    assert read(label(LexiconLabeller(pack()), two))[0][3] == ["city: Rome", "date: the day after easter"]
    unnamed = session_of("u: a ticket", "e: When? And how many?", "u: three of us", "e: Ok. <stop>")
    assert (
        label(LexiconLabeller(pack()), unnamed).empty == 1
    )  # "three of us" may answer the question that matches no field


def test_a_question_waits_over_a_pause_and_not_over_another_question() -> None:
    paused = session_of(
        "u: hi", "e: Which city?", "u: one moment", "e: Take your time.", "u: Rome", "e: Ok. <stop>"
    )
    assert read(label(LexiconLabeller(pack()), paused)) == [
        (0, "continue", ["city"], ["city: Rome"]),
        (2, "stop", [], []),
    ]
    dropped = session_of("u: hi", "e: Which city?", "u: hm", "e: Nice weather?", "u: Rome", "e: Ok. <stop>")
    assert read(label(LexiconLabeller(pack()), dropped)) == [(2, "stop", [], [])]


def test_questions_of_a_policy_are_no_micro_goals_but_their_answers_are_known() -> None:
    session = session_of(
        "u: hi", "p: Which city?", "u: in Rome", "e: And when?", "u: on Friday", "e: Ok. <stop>"
    )
    labelling = label(LexiconLabeller(pack()), session)
    assert read(labelling) == [(0, "continue", ["date"], ["date: Friday"]), (1, "stop", [], [])]
    assert [one.field for one in labelling.labelled.answers] == ["city", "date"]


def test_volunteered_values_are_answers_and_small_talk_after_the_act_is_none() -> None:
    session = session_of(
        "u: a ticket in Rome", "e: When?", "u: on Friday", "e: Ok. <stop>", "u: lovely in May"
    )
    labelling = label(LexiconLabeller(pack()), session)
    assert read(labelling)[0] == (0, "continue", ["date"], ["date: Friday"])
    assert [(one.field, one.message) for one in labelling.labelled.answers] == [("city", 0), ("date", 2)]


def test_questions_that_no_pattern_matches_are_counted() -> None:
    session = session_of(
        "u: hi", "e: How many are you?", "u: 2", "e: Which city?", "u: Rome", "e: Ok? <stop>"
    )
    findings = LexiconLabeller(pack()).label(session)
    assert (findings.questions, findings.unnamed_questions) == (3, 1)


def test_abandoned_sessions_give_no_stop() -> None:
    for stop_at in ("acts", "asking_done"):
        session = session_of(
            "u: hi", "e: Which city?", "u: Rome", "e: Just a second.", "u: hello?", stopAt=stop_at
        )
        assert session.end is EndReason.ABANDONED
        assert read(label(LexiconLabeller(pack()), session, stopAt=stop_at)) == [
            (0, "continue", ["city"], ["city: Rome"])
        ]


# -- asking_done -----------------------------------------------------------------------------------------------------

CONFIRMED = (
    "u: hi",
    "e: Which city?",
    "u: Rome",
    "e: So, Rome.",
    "u: yes",
    "e: Very well.",
    "u: ok",
    "e: Ok. <stop>",
)


def test_turns_with_nothing_left_are_dropped_and_counted() -> None:
    labelling = label(LexiconLabeller(pack()), session_of(*CONFIRMED))
    assert [one[:2] for one in read(labelling)] == [(0, "continue"), (3, "stop")]
    assert (labelling.empty, labelling.decision_points, labelling.stop_moved) == (2, 4, False)


def test_asking_done_moves_the_stop_to_the_first_turn_with_nothing_left() -> None:
    labelling = label(LexiconLabeller(pack()), session_of(*CONFIRMED), stopAt="asking_done")
    assert [one[:2] for one in read(labelling)] == [(0, "continue"), (1, "stop")]
    session = labelling.labelled.session
    assert session.stop_turn == len(session.turns) - 1 == 1
    assert len(session.messages) == 8
    assert (labelling.empty, labelling.stop_moved) == (0, True)


def test_asking_is_not_done_while_a_question_has_no_name() -> None:
    session = session_of(
        "u: hi", "e: Which city?", "u: Rome", "e: How many?", "u: 2", "e: Fine.", "u: so?", "e: Ok. <stop>"
    )
    labelling = label(LexiconLabeller(pack()), session, stopAt="asking_done")
    assert [one[:2] for one in read(labelling)] == [(0, "continue"), (2, "stop")]
    assert labelling.empty == 1


def test_a_failed_turn_is_no_label_and_no_stop() -> None:
    session = session_of(*CONFIRMED)
    nothing = TurnLabel((), ())
    findings = Findings(turns=(nothing, LabelFailure(Reason.WRONG_ANNOTATION, "why"), nothing, nothing))
    labelling = make_samples(
        session, findings, stop_at="acts", require_marker=False, provenance=Provenance(labeller="x")
    )
    assert [one[:2] for one in read(labelling)] == [(3, "stop")]
    assert [turn for turn, _ in labelling.failures] == [1]


# -- annotated -------------------------------------------------------------------------------------------------------

LINES = (
    "u: a ticket for 2",
    "e: Where?",
    "u: Rome",
    "e: When?",
    "u: Friday, second class",
    "e: Sure? <stop>",
    "u: yes",
)


def notes(**changes: Any) -> dict[str, Any]:
    city, date = {"item": "city", "value": "Rome"}, {"item": "date", "value": "Friday"}
    document = {
        "known_at_start": [],
        "turns": [
            {"msg": 1, "requested": [{**city, "answer_msg": 2}], "remaining": [city, date]},
            {"msg": 3, "requested": [{**date, "answer_msg": 4}], "remaining": [date]},
            {"msg": 5, "requested": [], "remaining": []},
        ],
        "stop_msg": 5,
    }
    return {key: value for key, value in {**document, **changes}.items() if value is not ...}


def annotated(annotations: Any, *lines: str, unknown_items: Any = "error", **changes: Any) -> Labelling:
    return label(
        AnnotatedLabeller(pack(**changes), unknown_items=unknown_items),
        session_of(*(lines or LINES), annotations=annotations, **changes),
        **changes,
    )


WANTED = [
    (0, "continue", ["city"], ["city: Rome", "date: Friday"]),
    (1, "continue", ["date"], ["date: Friday"]),
    (2, "stop", [], []),
]


def test_annotations_are_labels() -> None:
    assert read(annotated(notes())) == WANTED


def test_remaining_follows_from_requested_where_it_is_missing() -> None:
    turns = [{key: value for key, value in turn.items() if key != "remaining"} for turn in notes()["turns"]]
    assert read(annotated(notes(turns=turns, stop_msg=...))) == WANTED
    turns[1]["requested"][0].pop("answer_msg")  # never given
    labelling = annotated(notes(turns=turns))
    assert [one[3] for one in read(labelling)] == [["city: Rome"], []]
    assert labelling.empty == 1


def test_answers_hold_what_was_known_asked_and_volunteered() -> None:
    turns = notes()["turns"]
    turns[1]["remaining_volunteered"] = turns[0]["remaining_volunteered"] = [
        {"item": "class", "value": "second"}
    ]
    known = [{"item": "date", "value": "ticket for 2"}, {"item": "colour", "value": "no field of the task"}]
    answers = annotated(notes(turns=turns, known_at_start=known)).labelled.answers
    assert [(one.field, one.value, one.message) for one in answers] == [
        ("date", "ticket for 2", 0),
        ("city", "Rome", 2),
        ("class", "second", 4),
        ("date", "Friday", 4),
    ]


BROKEN: list[tuple[Any, Reason, list[int]]] = [
    ("none", Reason.NO_ANNOTATIONS, [0, 1, 2]),
    ({}, Reason.NO_ANNOTATIONS, [0, 1, 2]),
    ({"turns": {}}, Reason.NO_ANNOTATIONS, [0, 1, 2]),
    (notes(turns=[]), Reason.NO_ANNOTATIONS, [0, 1]),
    (notes(turns=["x", {"msg": None}, *notes()["turns"][1:]]), Reason.NO_ANNOTATIONS, [0]),
    (notes(turns=[{"msg": 1}, *notes()["turns"][1:]]), Reason.WRONG_ANNOTATION, [0]),
    (notes(turns=[{"msg": 1, "requested": 3}, *notes()["turns"][1:]]), Reason.WRONG_ANNOTATION, [0]),
    (notes(turns=[*notes()["turns"], {**notes()["turns"][0], "msg": 99}]), Reason.NO_ANNOTATIONS, []),
    (notes(stop_msg=4), Reason.STOP_DISAGREES, [2]),
    (notes(stop_msg="5"), Reason.STOP_DISAGREES, [2]),
]


@pytest.mark.parametrize(("annotations", "reason", "turns"), BROKEN)
def test_broken_annotations_are_failures(annotations: Any, reason: Reason, turns: list[int]) -> None:
    labelling = annotated(annotations)
    assert [(turn, failure.reason) for turn, failure in labelling.failures] == [
        (turn, reason) for turn in turns
    ]
    assert [one.turn for one in labelling.labelled.samples] == [
        turn for turn in range(3) if turn not in turns
    ]


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (3, "3"), (2.5, "2.5"), ("Rome", "Rome")])
def test_values_that_are_no_strings_are_taken_as_their_text(value: Any, text: str) -> None:
    turns = notes()["turns"]
    turns[0]["requested"][0]["value"] = turns[0]["remaining"][0]["value"] = value
    assert read(annotated(notes(turns=turns)))[0][3] == [f"city: {text}", "date: Friday"]


def _with_an_unknown_item() -> dict[str, Any]:
    turns = [{key: value for key, value in turn.items() if key != "remaining"} for turn in notes()["turns"]]
    turns[1]["requested"].append({"item": "colour", "value": "red", "answer_msg": 4})
    return notes(turns=turns)


def test_an_item_that_the_pack_does_not_list_fails_what_depends_on_it() -> None:
    labelling = annotated(_with_an_unknown_item())
    assert [failure.reason for _, failure in labelling.failures] == [
        Reason.WRONG_ANNOTATION,
        Reason.UNKNOWN_FIELD,
    ]
    assert "label.unknownItems: ignore" in labelling.failures[1][1].message


def test_an_item_that_the_pack_does_not_list_is_left_out_and_counted_if_the_manifest_says_so() -> None:
    assert read(annotated(_with_an_unknown_item(), unknown_items="ignore")) == WANTED
    labeller = AnnotatedLabeller(pack(), unknown_items="ignore")
    findings = labeller.label(session_of(*LINES, annotations=_with_an_unknown_item()))
    assert findings.unknown_items == ("colour",)


BROKEN_ITEMS: list[tuple[str, Any, Reason, str]] = [
    (
        "requested",
        {"item": "colour", "value": "red", "answer_msg": 2},
        Reason.UNKNOWN_FIELD,
        "city, class, date",
    ),
    ("requested", {"item": "city", "value": "Rome", "answer_msg": 3}, Reason.WRONG_ANNOTATION, "answer_msg"),
    ("requested", {"item": "city", "value": "Rome", "answer_msg": 0}, Reason.WRONG_ANNOTATION, "answer_msg"),
    ("requested", {"item": "city", "value": "Rome", "answer_msg": 99}, Reason.WRONG_ANNOTATION, "answer_msg"),
    ("requested", {"item": "city", "value": None, "answer_msg": 2}, Reason.WRONG_ANNOTATION, "value"),
    ("requested", "city", Reason.WRONG_ANNOTATION, "item"),
    ("remaining", {"item": "colour", "value": "red"}, Reason.UNKNOWN_FIELD, "colour"),
    ("remaining", {"item": "city"}, Reason.WRONG_ANNOTATION, "value"),
    ("remaining", {"item": "class", "value": "second"}, Reason.WRONG_ANNOTATION, "class"),
]


@pytest.mark.parametrize(("key", "item", "reason", "says"), BROKEN_ITEMS)
def test_broken_items_fail_their_turn_alone(key: str, item: Any, reason: Reason, says: str) -> None:
    turns = notes()["turns"]
    turns[0][key] = [item]
    labelling = annotated(notes(turns=turns))
    ((turn, failure),) = labelling.failures
    assert (turn, failure.reason) == (0, reason)
    assert says in failure.message
    assert [one.turn for one in labelling.labelled.samples] == [1, 2]


def test_the_annotated_stop_stands_where_the_log_has_no_marker() -> None:
    lines = ("u: a ticket", "e: Where?", "u: Rome", "e: When?", "u: Friday", "e: Booked.", "u: thanks")
    labelling = annotated(notes(), *lines)  # the last message is the user's, so the log alone looks abandoned
    assert read(labelling) == WANTED
    assert labelling.labelled.session.end is EndReason.COMPLETED
    required = annotated(notes(), *lines, requireEndMarker=True)
    assert [one[1] for one in read(required)] == ["continue", "continue"]
    assert required.labelled.session.end is EndReason.ABANDONED


def test_what_only_a_policy_asks_is_no_micro_goal() -> None:
    lines = ("u: a ticket", "e: Where?", "u: Rome", "p: When?", "u: Friday", "e: Booked. <stop>")
    assert read(annotated(notes(), *lines)) == [
        (0, "continue", ["city"], ["city: Rome"]),
        (1, "stop", [], []),
    ]
