"""A policy with an assessment learns it from the micro-goals, is rewarded for it, is evaluated and served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learntoask.client import Client, user
from learntoask.core.assessment import f1, parse
from learntoask.core.manifest import Reward, RunSpec
from learntoask.core.records import STOP, LabelledSession
from learntoask.decoding.sessions import SamplingParams, decide_sessions
from learntoask.evaluation.assessments import assessment_metrics
from learntoask.evaluation.decisions import DecisionRecord, RecordedGrade
from learntoask.evaluation.torch_policy import policy_loader
from learntoask.policy.model import Policy
from learntoask.serving.config import config_of
from learntoask.serving.process import local_server
from learntoask.training.base.packaged import packaged_tokenizer
from learntoask.training.grpo.trainer import GrpoTrainer
from learntoask.training.sft.targets import supervised_trees
from learntoask.training.sft.trainer import SftTrainer
from worlds import tiny_training as tiny
from worlds.stopping_policy import with_limits

GREEDY = SamplingParams(samples=0, temperature=1.0, max_new_tokens=48)
STOP_FROM = 0.2


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A policy after SFT on 16 sessions."""
    torch.set_num_threads(1)
    policy = with_limits(tiny.policy(), assess=True, stop_threshold=STOP_FROM)
    run = tiny.sft_run(tmp_path_factory.mktemp("sft"), epochs=12, learning_rate=1e-2, shuffle_fields=False)
    SftTrainer(policy, tiny.sessions(16), [], run=run).train(tiny.Quiet())
    policy.model.eval()
    return policy


@pytest.mark.parametrize("fields", [("dish", "time", "place"), ("place", "dish", "time")])
def test_the_target_is_the_micro_goal_in_the_order_of_the_prompt(fields: tuple[str, ...]) -> None:
    policy, labelled = with_limits(tiny.policy(), assess=True), tiny.session(3)
    task = policy.pack.task("order")
    by_name = {field.name: field for field in task.fields}
    ordered = task.model_copy(update={"fields": tuple(by_name[name] for name in fields)})
    policy = replace(policy, pack=policy.pack.with_tasks([ordered]))
    (tree,) = supervised_trees(policy, labelled, turns="labelled").trees
    written = [policy.tokenizer.decode(completion.tokens[:-1]) for completion in tree.completions]
    assert written[-1] == STOP
    for text, sample in zip(written[:-1], labelled.samples, strict=False):
        needed = {item.field for item in sample.remaining}
        listed = [name for name in fields if name in needed]
        question = labelled.session.messages[labelled.session.turns[sample.turn].start].content
        assert text == f"<need>{', '.join(listed)}</need> {question}"


def test_without_an_assessment_targets_and_answers_are_as_the_expert_wrote_them() -> None:
    policy, labelled = tiny.policy(), tiny.session(3)
    (tree,) = supervised_trees(policy, labelled, turns="labelled").trees
    assert "<need>" not in "".join(policy.tokenizer.decode(one.tokens) for one in tree.completions)
    tokens = policy.tokenizer("<need>dish</need> What?").input_ids
    assert policy.answer(tokens, "order").text == "<need>dish</need> What?"


@pytest.mark.parametrize("size", ["tiny", "packaged"])
def test_where_a_question_may_not_begin_like_the_stop_it_may_begin_with_the_tag(size: str) -> None:
    policy = tiny.policy() if size == "tiny" else replace(tiny.policy(), tokenizer=packaged_tokenizer())
    assert policy.stop_beginning == policy.stop_tokens[:1]
    assessing = with_limits(policy, assess=True)
    tag = assessing.tokenizer("<need>dish</need>").input_ids
    assert assessing.stop_beginning == assessing.stop_tokens[: len(assessing.stop_beginning)]
    assert assessing.stop_beginning[:-1] == tuple(tag[: len(assessing.stop_beginning) - 1])
    assert assessing.stop_beginning[-1] != tag[len(assessing.stop_beginning) - 1]


def test_sft_teaches_the_form(trained: Policy) -> None:
    answers = asked_by(trained, tiny.sessions(16))
    untrained = asked_by(with_limits(tiny.policy(), assess=True, stop_threshold=STOP_FROM), tiny.sessions(16))
    assert sum(answer.malformed for answer, _ in answers) <= len(answers) // 10
    assert all(answer.malformed for answer, _ in untrained)
    assert sum(f1(answer.assessment, needed) for answer, needed in answers) / len(answers) > 0.2


def asked_by(policy: Policy, sessions: list[LabelledSession]) -> list[tuple]:
    """Return the greedy answers at `continue` points with the fields of their micro-goals."""
    return [
        (point.greedy, {item.field for item in sample.remaining})
        for labelled, points in zip(sessions, decide_sessions(policy, sessions, GREEDY), strict=True)
        for sample, point in zip(labelled.samples, points, strict=True)
        if sample.decision == "continue"
    ]


def test_grpo_rewards_the_f1_of_the_assessment_and_grades_the_question_alone(
    trained: Policy, tmp_path: Path
) -> None:
    class Strict(tiny.WordGrader):
        def grade(self, cases):
            assert not any("need" in case.response for case in cases)
            return super().grade(cases)

    settings = {"assessment": "fields", "reward": Reward(assessment_weight=1.0), "max_new_tokens": 48}
    run = tiny.grpo_run(tmp_path, updates=1)
    run = replace(run, train=run.train.model_copy(update=settings))
    policy = replace(trained, model=type(trained.model)(trained.model.config))
    policy.model.load_state_dict(trained.model.state_dict())
    _, journal = GrpoTrainer(policy, trained, tiny.sessions(8), [], grader=Strict(), run=run).train(
        tiny.Quiet()
    )
    (record,) = [record for record in journal.records() if record["kind"] == "grpo"]
    assert 0 < record["assessment_f1"] <= 1
    assert record["reward"] > 0


def test_evaluation_and_server_read_what_the_manifest_says(trained: Policy, tmp_path: Path) -> None:
    trained.model.save_pretrained(tmp_path / "model")
    trained.tokenizer.save_pretrained(tmp_path / "model")
    train = {"assessment": "fields", "maxPromptTokens": 512, "maxNewTokens": 48, "precision": "float32"}
    spec = RunSpec.model_validate({"dataset": {"uri": "d"}, "pack": {"uri": "p"}, "train": train})
    sessions = tiny.sessions(16)
    decided = policy_loader(spec, tiny.pack())(tmp_path / "model").decide(
        sessions, samples=0, temperature=1.0, seed=0, progress=lambda done, total: None
    )
    answers = asked_by(trained, sessions)
    expected = [answer.assessment for answer, _ in answers]
    assert [one.assessment for one in decided if one.truth == "continue"] == expected
    records = [
        DecisionRecord(
            **dict(one),
            policy="sft",
            group="order",
            seen=True,
            reporting=RecordedGrade(),
            rewarding=RecordedGrade(),
        )
        for one in decided
    ]
    assert assessment_metrics(records, resamples=50, seed=0)["F1"].value > 0.2

    pack = tmp_path / "pack.json"
    pack.write_text(tiny.pack().model_dump_json(by_alias=True))
    config = replace(config_of(spec, model=tmp_path / "model", pack=pack), port=0, precision="float32")
    with local_server(config) as server, Client(server.address, timeout=60) as client:
        answer, _ = answers[0]
        decision = client.decide([user(sessions[0].session.messages[0].content)])
        assert (decision.question, tuple(found.name for found in decision.missing)) == (
            answer.text,
            answer.assessment,
        )
        assert all(0 < (found.probability or 0) <= 1 for found in decision.missing)
        assert decision.question == parse(decision.question, tiny.pack().task("order").fields).text
