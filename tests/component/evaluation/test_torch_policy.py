"""Evaluation with a real, tiny model: every answer belongs to the right decision point."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from learntoask.core.manifest import RunSpec
from learntoask.evaluation.policy import Dialogue, PolicyUnderTest
from learntoask.evaluation.torch_policy import policy_loader
from learntoask.labeling.repeated_questions import ReadConversation
from worlds import tiny_training as tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("model")
    policy = tiny.policy()
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def opened(folder: Path) -> PolicyUnderTest:
    return policy_in("float32", folder)


def policy_in(precision: str, folder: Path) -> PolicyUnderTest:
    train = {"maxPromptTokens": 512, "maxNewTokens": 5, "precision": precision}
    spec = RunSpec.model_validate({"dataset": {"uri": "d"}, "pack": {"uri": "p"}, "train": train})
    return policy_loader(spec, tiny.pack())(folder)


def test_answers_belong_to_their_decision_points(opened: PolicyUnderTest) -> None:
    sessions = tiny.sessions(3)
    answers = opened.decide(sessions, samples=2, temperature=1.0, seed=0, progress=lambda done, total: None)
    points = [
        (labelled.session.session_id, sample.turn) for labelled in sessions for sample in labelled.samples
    ]
    assert [(answer.session, answer.turn) for answer in answers] == [
        point for point in points for _ in range(3)
    ]
    assert [(answer.decoding, answer.completion) for answer in answers[:3]] == [
        ("greedy", 0),
        ("sampled", 0),
        ("sampled", 1),
    ]
    stops = [answer for answer in answers if answer.truth == "stop"]
    assert stops
    assert all(answer.target == () for answer in stops)
    assert all(answer.target for answer in answers if answer.truth == "continue")
    assert all((answer.stop_logprob is None) == (answer.decoding == "sampled") for answer in answers)
    assert all(answer.stop_logprob < math.log(0.1) for answer in answers if answer.stop_logprob is not None)


def test_a_replay_begins_with_the_greedy_answer_of_the_first_decision(opened: PolicyUnderTest) -> None:
    sessions = tiny.sessions(4)
    answers = opened.decide(sessions, samples=0, temperature=1.0, seed=0, progress=lambda done, total: None)
    first = [answer.response for answer in answers if answer.turn == 0]
    dialogues = [
        Dialogue(
            labelled.session.session_id,
            labelled.session.task,
            labelled.session.goal,
            labelled.session.messages[:1],
        )
        for labelled in sessions
    ]
    assert [reply.draft for reply in opened.reply(dialogues)] == first


def test_a_repeated_question_is_not_served(opened: PolicyUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = tiny.sessions(2)
    plain = opened.decide(sessions, samples=0, temperature=1.0, seed=0, progress=lambda done, total: None)
    assert {answer.served for answer in plain} == {None}
    refused = plain[0].response

    def repetition(read: ReadConversation, question: str) -> str | None:
        return "same-text" if question == refused else None

    monkeypatch.setattr(ReadConversation, "repetition", repetition)
    again = opened.decide(sessions, samples=0, temperature=1.0, seed=0, progress=lambda done, total: None)
    assert [answer.response for answer in again] == [answer.response for answer in plain]
    for answer in again:
        assert answer.served != refused
        assert (answer.served is None) == (answer.response != refused)
    first = sessions[0].session
    dialogue = Dialogue(first.session_id, first.task, first.goal, sessions[0].context(sessions[0].samples[0]))
    (reply,) = opened.reply([dialogue])
    assert (reply.draft, reply.text) == (refused, again[0].served)


def test_in_the_runs_bfloat16_the_decisions_are_about_as_sure(opened: PolicyUnderTest, folder: Path) -> None:
    def stops(policy: PolicyUnderTest) -> list[float]:
        answers = policy.decide(
            tiny.sessions(3), samples=0, temperature=1.0, seed=0, progress=lambda done, total: None
        )
        return [answer.stop_logprob for answer in answers if answer.stop_logprob is not None]

    exact, rounded = stops(opened), stops(policy_in("bfloat16", folder))
    assert rounded == pytest.approx(exact, rel=0.02)
    assert rounded != exact
