"""Roles, languages, samples and keys are found in logs of any form."""

from __future__ import annotations

from pathlib import Path

import pytest
from learntoask.core.errors import InputError
from learntoask.induction.reading.language import language_of_text, languages
from learntoask.induction.reading.metadata import candidate_keys
from learntoask.induction.reading.roles import find_roles
from learntoask.induction.reading.sample import sample_lines
from learntoask.induction.reading.sessions import json_objects, read_sessions
from worlds.induction import sessions, write


def test_usual_words_decide_the_roles() -> None:
    found = find_roles(sessions(3, roles=("customer", "agent")))
    assert (found.user, found.expert) == (("customer",), ("agent",))


def test_unknown_words_are_told_apart_by_who_asks() -> None:
    found = find_roles(sessions(20, roles=("Kundin", "Mechaniker")))
    assert (found.user, found.expert) == (("kundin",), ("mechaniker",))


def test_a_third_role_counts_as_the_experts_and_is_said() -> None:
    logs = sessions(10)
    for log in logs:
        log["messages"].insert(0, {"role": "system", "content": "A chat begins."})
    found = find_roles(logs)
    assert found.expert == ("assistant", "system")
    assert "'system'" in found.unsure


def test_one_role_only_is_refused_with_what_to_do() -> None:
    logs = [{"messages": [{"role": "agent", "content": "How old are you?"}]}]
    with pytest.raises(InputError, match=r"one role only \('agent'\).*both sides"):
        find_roles(logs)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("How old are you, and what is your name?", "en"),
        ("Wie alt sind Sie und seit wann haben Sie das?", "de"),
        ("¿Cuál es su nombre y desde cuándo tiene el dolor?", "es"),
        ("Quel est votre âge et depuis quand avez vous les douleurs ?", "fr"),
        ("何歳ですか。いつからですか。", "ja"),
        ("您今年多大年纪了", "zh"),
        ("몇 살이세요", "ko"),
        ("كم عمرك؟ ومتى بدأ الألم؟", "ar"),
        ("12 !!", None),
    ],
)
def test_the_language_of_a_text_is_told_by_script_or_words(text: str, code: str | None) -> None:
    assert language_of_text(text) == code


def test_two_languages_have_their_shares() -> None:
    assert languages(["How are you, what is it?"] * 3 + ["Wie ist das und seit wann?"]) == {
        "en": 0.75,
        "de": 0.25,
    }


def test_a_sample_is_bounded_and_the_same_whatever_else_is_in_the_file(tmp_path: Path) -> None:
    lines = sessions(60)
    whole = sample_lines(write(tmp_path / "a.jsonl", lines), at_most=20)
    again = sample_lines(write(tmp_path / "b.jsonl", lines[::-1]), at_most=20)
    assert (len(whole.lines), whole.total) == (20, 60)
    assert {line.text for line in whole.lines} == {line.text for line in again.lines}
    assert [line.number for line in whole.lines] == sorted(line.number for line in whole.lines)


def test_copies_count_once_and_bad_lines_by_their_reason(tmp_path: Path) -> None:
    lines = sessions(5)
    bad = {"session_id": "x", "messages": []}
    sample = sample_lines(write(tmp_path / "a.jsonl", [*lines, {**lines[0], "session_id": "copy"}, bad]))
    read = read_sessions(sample.lines, find_roles(json_objects(sample.lines)), uri="a.jsonl")
    assert (len(read.sessions), read.copies, read.rejected) == (5, 1, {"no-messages": 1})


def test_keys_whose_values_repeat_can_name_a_task(tmp_path: Path) -> None:
    lines = [
        {**session, "about": {"topic": "ab"[number % 2]}, "started": f"{number} o'clock", "source": "web"}
        for number, session in enumerate(sessions(40))
    ]
    sample = sample_lines(write(tmp_path / "a.jsonl", lines))
    read = read_sessions(sample.lines, find_roles(json_objects(sample.lines)), uri="a.jsonl")
    assert set(candidate_keys(read.sessions)) == {"about.topic"}
