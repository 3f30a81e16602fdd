"""The grader on logs whose experts pick their sentences from a list, and on what they typed to find a sentence."""

from __future__ import annotations

import json

import pytest
from learntoask.grading.fluency import fluency_guard
from learntoask.grading.grades import Grade, GradeCase
from worlds.annotated_logs import graded_logs, logs_folder

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return graded_logs("star", tmp_path_factory.mktemp("star"), test="validation.jsonl")


def typed_questions(pack):
    """What experts of held-out sessions typed to find the sentence they sent, where it is a question of its own."""
    is_question = fluency_guard(pack)
    for line in (logs_folder("star") / "validation.jsonl").read_text(encoding="utf-8").splitlines():
        session = json.loads(line)
        for turn in session["annotations"]["turns"]:
            text = turn.get("typed_by_wizard", [""])[-1]
            if turn["requested"] and is_question(text):
                yield GradeCase(
                    session_id=session["session_id"],
                    task=session["annotations"]["task"],
                    response=text,
                    target=frozenset(item["item"] for item in turn["requested"]),
                )


@pytest.mark.parametrize("role", ["rewarding", "reporting"])
def test_sentences_of_the_list_are_read_and_none_is_refused(world, role):
    assert world.record[role]["questions"] == 434
    assert world.record[role]["any_hit"]["value"] >= 0.99
    assert world.record["experts"]["refused"]["value"] == 0


@pytest.mark.parametrize("role", ["rewarding", "reporting"])
def test_questions_in_the_experts_own_words_are_read_too(world, role):
    cases = list(typed_questions(world.pack))
    grades = world.graders[role].grade(cases)
    assert len(cases) == 250
    read = sum(isinstance(grade, Grade) and grade.content > 0 for grade in grades) / len(cases)
    assert read >= 0.8  # .83 and .82 measured; .44 without the example questions of the pack
