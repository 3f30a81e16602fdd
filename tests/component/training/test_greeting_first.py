"""A base whose template wants user and assistant to alternate trains on logs in which the expert speaks first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from learntoask.core.manifest import Dataset, RunSpec
from learntoask.core.pack import Pack, load_pack
from learntoask.core.prompt import Context
from learntoask.core.records import LabelledSession, Session
from learntoask.core.stages.contract import StageContext
from learntoask.labeling.logs.reader import LogReader
from learntoask.policy.model import Policy
from learntoask.policy.prompt import PromptRenderer, expert_answer
from learntoask.training.base import stage as fetch
from learntoask.training.base.packaged import packaged_tokenizer
from learntoask.training.base.tiny import tiny_model, tiny_tokenizer
from learntoask.training.sft.targets import supervised_trees
from learntoask.training.tree.rendering import render_session

CASE = Path(__file__).parents[2] / "data" / "cases" / "greeting-first"


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None: ...


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> StageContext:
    """The published base, and what the stage says of its template."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = tiny_tokenizer(packaged_tokenizer())
    tiny_model(tokenizer, seed=0).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    shutil.copy(CASE / "chat_template.jinja", folder / "base")
    for name in ("out", "work"):
        (folder / name).mkdir()
    context = StageContext(
        stage="fetch",
        key="k",
        spec=RunSpec.model_validate(
            {"dataset": {"uri": "l"}, "pack": {"uri": "p"}, "train": {"base": {"uri": "base"}}}
        ),
        pack=load_pack(CASE / "pack.yaml"),
        inputs={},
        files={"base": folder / "base"},
        out=folder / "out",
        work=folder / "work",
        progress=Silent(),
    )
    summary = fetch.run(context)
    assert summary["chat_forms"] == {"user": "as it is", "expert": "after an empty turn of the user"}
    return context


def test_every_decision_point_of_the_logs_is_rendered_alike_in_training_and_serving(
    fetched: StageContext,
) -> None:
    renderer = PromptRenderer.read(fetched.out / "model", fetched.pack)
    sessions = _sessions(fetched.pack)
    assert len(sessions) > 10
    for session in sessions:
        assert session.messages[0].role == "assistant"
        (trunk,) = render_session(renderer, session, turns=range(len(session.turns))).trunks
        for end in trunk.contexts:
            context = Context(session.task, None, session.messages[: session.turns[end.turn].start])
            assert renderer.context_tokens(context) == trunk.tokens[: end.attach]
        text = renderer.tokenizer.decode(trunk.tokens)
        assert [text.count(message.content) for message in session.messages[:2]] == [1, 1]


def test_sft_learns_every_answer_of_the_experts_after_the_greeting(fetched: StageContext) -> None:
    policy = Policy.load(fetched.out / "model", fetched.pack)
    for session in _sessions(fetched.pack):
        found = supervised_trees(policy, LabelledSession(session=session, samples=()), turns="all")
        (tree,) = found.trees
        assert (found.fallbacks, found.cut, found.cut_answers) == (0, 0, 0)
        assert session.messages[0].content in policy.tokenizer.decode(tree.trunk)
        answers = [expert_answer(session, turn) for turn in range(len(session.turns))]
        learned = [policy.tokenizer.decode(completion.tokens) for completion in tree.completions]
        assert len(answers) == len(learned) > 1
        assert all(text.startswith(answer) for text, answer in zip(learned, answers, strict=True))


def _sessions(pack: Pack) -> list[Session]:
    rules = Dataset(uri="logs.jsonl")
    found = [entry.session for entry in LogReader(pack, rules).read(CASE / "logs.jsonl")]
    return [session for session in found if session is not None]
