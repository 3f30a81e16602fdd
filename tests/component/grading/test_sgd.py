"""The grader on real annotated logs, against the goals of its design."""

from __future__ import annotations

import pytest
from learntoask.grading.fluency import fluency_guard
from learntoask.grading.grades import Grade, GradeCase
from worlds.annotated_logs import graded_logs

pytestmark = pytest.mark.data

BESIDE_THE_TASK = [
    "How are you today?",
    "Is there anything else I can help you with?",
    "Are you sure about that?",
    "Would you like to hear a joke?",
    "What do you mean?",
    "What's your favourite colour?",
    "Have you used our service before?",
    "Does that sound good?",
    "Who told you about us?",
    "Can you tell me more about yourself?",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pack, labelled sessions, graders and their agreement, as the stages make them."""
    return graded_logs("sgd", tmp_path_factory.mktemp("sgd"), test="test.jsonl")


@pytest.mark.parametrize("role", ["rewarding", "reporting"])
def test_agreement_with_held_out_annotations(world, role):
    found = world.record[role]
    assert found["questions"] == 335
    assert found["any_hit"]["value"] >= 0.96  # .965 measured; one question is .003
    assert found["unseen"]["any_hit"]["value"] >= 0.95
    assert found["kappa"]["value"] >= 0.85
    assert found["missing"]["value"] <= 0.05


def test_expert_questions_are_kept_and_non_questions_refused(world):
    is_question = fluency_guard(world.pack)
    asked = [example.text for session in world.questions.sessions for example in session.asked]
    assert sum(map(is_question, asked)) / len(asked) >= 0.99
    assert world.record["refused"]["made"]["value"] >= 0.98
    assert world.record["refused"]["user_messages"]["value"] >= 0.96  # some of them ask: "Can you find a bus"


@pytest.mark.parametrize("role", ["rewarding", "reporting"])
def test_questions_beside_the_task_ask_for_none_of_its_fields(world, role):
    cases = [
        GradeCase(session_id="served", task=task.name, response=text, target=task.field_names)
        for task in world.pack.tasks
        for text in BESIDE_THE_TASK
    ]
    grades = world.graders[role].grade(cases)
    rewarded = [isinstance(grade, Grade) and grade.content > 0 for grade in grades]
    assert sum(rewarded) / len(rewarded) <= 0.06
