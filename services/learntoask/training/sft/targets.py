"""Which expert turns SFT trains, and the session trees that hold them as targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from learntoask.core.records import LabelledSession
from learntoask.policy.model import Policy
from learntoask.policy.prompt import completion_tokens, expert_answer
from learntoask.training.tree.layout import Completion, SessionTree
from learntoask.training.tree.rendering import render_session


@dataclass(frozen=True)
class SupervisedTrees:
    """The trees of one session; `fallbacks` counts contexts that are no prefix, `cut` those that were too long."""

    trees: tuple[SessionTree, ...]
    fallbacks: int
    cut: int

    @property
    def size(self) -> int:
        return sum(tree.size for tree in self.trees)


def trained_turns(
    labelled: LabelledSession, *, turns: Literal["labelled", "all"], may_stop: bool
) -> list[int]:
    """Turns whose expert answer is a target: the labelled ones, or every turn up to the stop with a word in it."""
    session = labelled.session
    if turns == "labelled":
        chosen = [
            sample.turn
            for sample in labelled.samples
            if sample.decision == "stop" or (sample.remaining and expert_answer(session, sample.turn))
        ]
    else:
        last = len(session.turns) - 1 if session.stop_turn is None else session.stop_turn
        chosen = [turn for turn in range(last + 1) if expert_answer(session, turn)]
    return [turn for turn in chosen if may_stop or turn != session.stop_turn]


def supervised_trees(
    policy: Policy,
    labelled: LabelledSession,
    *,
    turns: Literal["labelled", "all"],
) -> SupervisedTrees:
    """The session's trees with the expert's answers as completions (empty when nothing of it is trained)."""
    session = labelled.session
    trained = trained_turns(labelled, turns=turns, may_stop=policy.limits.may_stop)
    rendering = render_session(policy, session, turns=trained)
    trees = tuple(
        SessionTree(
            trunk=trunk.tokens,
            completions=tuple(
                Completion(end.attach, completion_tokens(policy.tokenizer, expert_answer(session, end.turn)))
                for end in trunk.contexts
            ),
        )
        for trunk in rendering.trunks
    )
    return SupervisedTrees(trees, rendering.fallbacks, rendering.cut)


@dataclass(frozen=True)
class TrainingSplit:
    """The training sessions that SFT learns from, those it leaves to GRPO, and the validation sessions."""

    sft: tuple[LabelledSession, ...]
    kept: tuple[LabelledSession, ...]
    validation: tuple[LabelledSession, ...]


def split_for_training(labelled: Iterable[LabelledSession], *, kept_share: float, seed: int) -> TrainingSplit:
    """Divide by session, by a hash of its id, so that SFT and GRPO agree whatever the order of the file."""
    parts: dict[str, list[LabelledSession]] = {"sft": [], "kept": [], "validation": []}
    for session in labelled:
        record = session.session
        if not session.samples or record.split == "test":
            continue
        if record.split == "validation":
            parts["validation"].append(session)
            continue
        digest = hashlib.sha256(f"{seed}:{record.session_id}".encode()).digest()
        kept = int.from_bytes(digest[:8]) < kept_share * 2**64
        parts["kept" if kept else "sft"].append(session)
    return TrainingSplit(**{name: tuple(sessions) for name, sessions in parts.items()})
