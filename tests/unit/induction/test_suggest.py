"""A suggestion finds the fields, tasks and ends of the logs, and the same ones each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learntoask.core.errors import InputError
from learntoask.grading.encoders.hashing import HashingEncoder
from learntoask.induction.from_logs import suggest_from_logs
from learntoask.induction.suggestion import SuggestedField, Suggestion
from learntoask.labeling.logs.patterns import any_of
from worlds.induction import ASKED, MARKER, sessions, write


def suggested(folder: Path, lines: list[Any], **settings: Any) -> Suggestion:
    return suggest_from_logs(write(folder / "logs.jsonl", lines), encoder=HashingEncoder(), **settings)


def field_for(found: Suggestion, name: str) -> SuggestedField:
    """Return the field whose patterns find all wordings of a field of the workshop."""
    (field,) = (
        field
        for field in found.fields
        if all(any_of(tuple(pattern.expression for pattern in field.patterns))(text) for text in ASKED[name])
    )
    return field


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Suggestion:
    return suggested(tmp_path_factory.mktemp("logs"), sessions(80))


def test_each_field_is_found_once_with_all_its_wordings(found: Suggestion) -> None:
    assert len({field_for(found, name).name for name in ASKED}) == len(found.fields) == len(ASKED)


def test_a_field_shows_how_it_is_asked_and_answered(found: Suggestion) -> None:
    field = field_for(found, "bike")
    assert set(field.questions) == set(ASKED["bike"])
    assert {text for text, _ in field.evidence.answers} == {
        "a city bike",
        "a racing bike",
        "an e-bike",
        "a mountain bike",
    }
    assert (field.evidence.sessions, field.evidence.asked, field.evidence.matched) == (80, 80, 80)
    assert field.evidence.confidence == "high"


def test_the_marker_of_the_end_is_found(found: Suggestion) -> None:
    assert found.ends.markers == ((MARKER, 80),)
    assert found.ends.require_marker
    assert found.ends.actions == ()


def test_without_a_marker_the_words_of_the_act_are_found(tmp_path: Path) -> None:
    ends = suggested(tmp_path, sessions(80, marker=False)).ends
    assert ends.markers == ()
    search = any_of(tuple(pattern.expression for pattern in ends.actions))
    assert search("Thank you, I have booked you in for that.")
    assert not any(search(text) for texts in ASKED.values() for text in texts)


def test_closing_questions_do_not_hide_the_act(tmp_path: Path) -> None:
    lines = sessions(80, marker=False)
    closings = ("Is there anything else I can help with?", "Would you rate this chat?", "Goodbye!")
    for number, log in enumerate(lines):
        said = ("ok thanks", closings[number % 3], "no bye")
        roles = ("user", "assistant", "user")
        log["messages"] += [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]
    ends = suggested(tmp_path, lines).ends
    search = any_of(tuple(pattern.expression for pattern in ends.actions))
    assert search("Thank you, I have booked you in for that.")
    assert not any(search(text) for text in (*closings, "What is your phone number?"))


def test_the_last_question_of_cut_logs_is_no_act(tmp_path: Path) -> None:
    lines = sessions(80, marker=False)
    for log in lines:
        del log["messages"][-1]
    assert suggested(tmp_path, lines).ends.actions == ()


def test_acts_that_share_nothing_but_numbers_are_found(tmp_path: Path) -> None:
    lines = sessions(80, marker=False)
    acts = [f"Tuesday{number} at {number % 12}:{number} am" for number in range(80)]
    for log, act in zip(lines, acts, strict=True):
        log["messages"][-1]["content"] = act
    ends = suggested(tmp_path, lines).ends
    search = any_of(tuple(pattern.expression for pattern in ends.actions))
    assert all(search(act) for act in acts)


def test_the_key_that_tells_what_is_asked_names_the_task(tmp_path: Path) -> None:
    kinds = {"repair": ("bike", "since"), "rental": ("day", "phone")}
    lines = [
        {**session, "channel": "ab"[number % 2]} for number, session in enumerate(sessions(80, kinds=kinds))
    ]
    found = suggested(tmp_path, lines)
    assert found.task_from == ("topic",)
    assert {task.name: len(task.fields) for task in found.tasks} == {"repair": 2, "rental": 2}


def test_a_task_shows_a_field_in_the_words_of_its_own_experts(tmp_path: Path) -> None:
    wordings = {"repair": "Which day suits you for the visit?", "rental": "On which day can you visit us?"}
    lines = sessions(80, kinds={"repair": ("bike", "day"), "rental": ("day", "phone")})
    for session in lines:
        for message in session["messages"]:
            if message["content"] in ASKED["day"]:
                message["content"] = wordings[session["topic"]]
    found = suggested(tmp_path, lines)
    shown = {
        task.name: (use.field.name, use.description, use.questions)
        for task in found.tasks
        for use in task.fields
        if any(question in ASKED["day"] for question in use.questions)
    }
    (name,) = {name for name, _, _ in shown.values()}  # one field, in both tasks
    assert shown == {task: (name, wording.rstrip("?"), (wording,)) for task, wording in wordings.items()}


def test_logs_without_a_key_have_one_task_and_show_their_kinds(tmp_path: Path) -> None:
    kinds = {"repair": ("bike", "since"), "rental": ("day", "phone")}
    lines = [
        {key: value for key, value in one.items() if key != "topic"} for one in sessions(80, kinds=kinds)
    ]
    found = suggested(tmp_path, lines)
    assert found.task_from == ()
    assert [task.name for task in found.tasks] == ["default"]
    assert {len(group.fields) for group in found.groups} == {2}


def test_fields_that_nearly_every_session_asks_for_are_required(found: Suggestion) -> None:
    assert all(use.required for use in found.tasks[0].fields)


def test_what_is_asked_in_few_sessions_is_not_covered_rather_than_a_field(tmp_path: Path) -> None:
    lines = sessions(80)
    for log in lines[:4]:
        log["messages"][3:3] = [
            {"role": "assistant", "content": "Where did you park your trailer?"},
            {"role": "user", "content": "in the yard"},
        ]
    found = suggested(tmp_path, lines)
    assert len(found.fields) == len(ASKED)
    assert ("Where did you park your trailer?", 4) in found.not_covered.questions


def test_courtesies_and_confirmations_are_no_fields(tmp_path: Path) -> None:
    lines = sessions(80)
    for log in lines:
        log["messages"].insert(0, {"role": "assistant", "content": "Hello, how can I help you?"})
        log["messages"][2:2] = [
            {"role": "assistant", "content": "Your bike number is 7, is that correct?"},
            {"role": "user", "content": "yes"},
        ]
    found = suggested(tmp_path, lines)
    assert len(found.fields) == len(ASKED)


def test_a_large_file_is_sampled_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    found = suggested(tmp_path, sessions(120), at_most=60, say=said.append)
    assert (found.sessions, found.total) == (60, 120)
    assert said[0].startswith("120 lines; the pack is made from 60 of them")


def test_equal_logs_give_equal_suggestions(tmp_path: Path, found: Suggestion) -> None:
    assert suggested(tmp_path, sessions(80)) == found


def test_ten_sessions_make_a_pack_with_a_warning(tmp_path: Path) -> None:
    found = suggested(tmp_path, sessions(10))
    assert found.notes[0].startswith("10 sessions are few")


def test_one_session_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 1 different sessions, and a pack needs at least 4"):
        suggested(tmp_path, sessions(1))


@pytest.mark.parametrize("content", ["All right.", "[image]"])
def test_logs_without_questions_are_refused(tmp_path: Path, content: str) -> None:
    lines = sessions(10)
    for log in lines:
        for message in log["messages"]:
            if message["role"] == "assistant":
                message["content"] = content
    with pytest.raises(InputError, match=r"asks anything; check that the roles .* images or buttons"):
        suggested(tmp_path, lines)


def test_two_languages_in_one_file_are_said(tmp_path: Path) -> None:
    lines = sessions(30)
    for log in lines[:10]:
        log["session_id"] += "-de"
        for message in log["messages"]:
            message["content"] = f"Wie alt ist das und seit wann haben Sie es, {log['session_id']}?"
    found = suggested(tmp_path, lines)
    assert found.language == "en"
    assert any(note.startswith("de makes up more than 10%") for note in found.notes)
