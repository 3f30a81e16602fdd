"""A training run small enough to be killed and repeated.

It has sessions about ordering food, a Llama of 50,000 parameters, and a grader that looks for field names.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from learntoask.core.manifest import Grpo, Method, Reward, Sft, Train
from learntoask.core.pack import Pack
from learntoask.core.records import (
    EndReason,
    Item,
    LabelledSession,
    Message,
    Provenance,
    Sample,
    Session,
    Split,
    Turn,
)
from learntoask.grading.grades import REFUSED, Grade, GradeCase, MissingGrade, question_grade
from learntoask.policy.model import Policy
from learntoask.policy.prompt import PromptLimits
from learntoask.training.base.packaged import packaged_tokenizer
from learntoask.training.base.tiny import tiny_tokenizer
from learntoask.training.grpo.run import GrpoRun
from learntoask.training.grpo.trainer import GrpoTrainer
from learntoask.training.optim.checkpoint import restore_weights
from learntoask.training.run import TrainingRun
from learntoask.training.sft.trainer import SftTrainer
from learntoask.training.tree.attention import enable_tree_attention
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

QUESTIONS = {"dish": "Which dish would you like?", "time": "At what time?", "place": "Where do you live?"}
ANSWERS = {"dish": ("pizza", "soup", "rice"), "time": ("at noon", "at eight"), "place": ("Rome", "Oslo")}


def pack() -> Pack:
    fields = [{"name": name, "questions": [question]} for name, question in QUESTIONS.items()]
    return Pack.model_validate(
        {"name": "food", "tasks": [{"name": "order", "goal": "Order.", "fields": fields}]}
    )


def session(index: int, split: Split = "train") -> LabelledSession:
    draw = random.Random(index)
    missing = draw.sample(sorted(QUESTIONS), draw.randint(1, 3))
    messages = [Message(role="user", content=f"I am hungry, order {index}.", author="user")]
    turns, samples = [], []
    provenance = Provenance(labeller="annotated")
    for position, field in enumerate(missing):
        remaining = tuple(Item(field=name, value="x") for name in missing[position:])
        samples.append(
            Sample(
                turn=len(turns),
                decision="continue",
                remaining=remaining,
                requested=(field,),
                provenance=provenance,
            )
        )
        turns.append(Turn(start=len(messages), end=len(messages) + 1))
        messages.append(Message(role="assistant", content=QUESTIONS[field], author="expert"))
        messages.append(Message(role="user", content=draw.choice(ANSWERS[field]), author="user"))
    samples.append(Sample(turn=len(turns), decision="stop", remaining=(), provenance=provenance))
    turns.append(Turn(start=len(messages), end=len(messages) + 1))
    messages.append(Message(role="assistant", content="", author="expert"))
    record = Session(
        session_id=f"{split}-{index}",
        split=split,
        task="order",
        messages=tuple(messages),
        turns=tuple(turns),
        end=EndReason.COMPLETED,
        stop_turn=len(turns) - 1,
    )
    return LabelledSession(session=record, samples=tuple(samples))


def sessions(count: int, split: Split = "train") -> list[LabelledSession]:
    return [session(index, split) for index in range(count)]


@cache
def _tokenizer():
    return tiny_tokenizer(packaged_tokenizer(), vocabulary=1024)


def policy(*, may_stop: bool = True) -> Policy:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(_tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=_tokenizer().eos_token_id,
        pad_token_id=_tokenizer().eos_token_id,
    )
    model = LlamaForCausalLM(config)
    enable_tree_attention(model)
    return Policy(
        model=model,
        tokenizer=_tokenizer(),
        pack=pack(),
        limits=PromptLimits(max_prompt_tokens=512, may_stop=may_stop),
    )


class WordGrader:
    """Grades a response by the field names in it; every `lost`-th case is missing."""

    digest = "words"

    def __init__(self, *, lost: int = 0) -> None:
        self._lost = lost

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        return [
            MissingGrade("lost") if self._lost and index % self._lost == 0 else self._grade(case)
            for index, case in enumerate(cases)
        ]

    @staticmethod
    def _grade(case: GradeCase) -> Grade:
        asked = frozenset(name for name in QUESTIONS if name in case.response)
        return question_grade(asked, target=case.target) if asked else REFUSED


class Quiet:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


def sft_run(work: Path, **settings: object) -> TrainingRun:
    sft = Sft(**{"epochs": 2, "batch_sessions": 2, "learning_rate": 3e-3, **settings})
    train = Train(sft=sft, seed=1, checkpoint_every=3)
    return TrainingRun(train=train, precision=torch.float32, row_tokens=200, work=work)


def grpo_run(
    work: Path,
    *,
    max_missing_share: float = 0.2,
    reward: Reward | None = None,
    method: Method = "grpo",
    **settings,
) -> GrpoRun:
    grpo = Grpo(
        **{
            "updates": 10,
            "batch_sessions": 2,
            "group_size": 3,
            "learning_rate": 1e-3,
            "validate_every": 4,
            **settings,
        }
    )
    train = Train(
        grpo=grpo,
        method=method,
        reward=reward or Reward(),
        seed=1,
        max_new_tokens=12,
        checkpoint_every=3,
    )
    return GrpoRun(
        train=train,
        precision=torch.float32,
        row_tokens=400,
        max_missing_share=max_missing_share,
        work=work,
    )


def warm_weights(work: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a policy that has learned to end its answers, so that its samples can be graded."""
    warm = policy()
    run = sft_run(work, epochs=8, learning_rate=1e-2, shuffle_fields=False)
    SftTrainer(warm, sessions(16), [], run=run).train(Quiet())
    return {name: weight.detach().clone() for name, weight in warm.model.named_parameters()}


def warmed(weights: dict[str, torch.Tensor]) -> Policy:
    found = policy()
    restore_weights(found.model, weights)
    return found


def train_sft(work: Path, out: Path, targets: str = "next") -> None:
    torch.set_num_threads(1)
    trained = policy()
    run = sft_run(work, targets=targets)
    SftTrainer(trained, sessions(20), sessions(4, "validation"), run=run).train(Quiet())
    save_file({name: weight.detach() for name, weight in trained.model.named_parameters()}, out)


def train_grpo(work: Path, out: Path, warm: Path, method: Method = "grpo") -> None:
    """Train and save the last weights, not the chosen ones, because these are what kills must not change."""
    torch.set_num_threads(1)
    weights = load_file(warm)
    trainer = GrpoTrainer(
        warmed(weights),
        warmed(weights),
        sessions(12),
        sessions(4, "validation"),
        grader=WordGrader(),
        run=grpo_run(work, method=method),
    )
    trainer.train(Quiet())
    state = torch.load(work / "grpo.pt", weights_only=True)
    save_file(state["weights"], out)
