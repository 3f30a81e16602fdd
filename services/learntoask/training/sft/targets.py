"""The targets of SFT: which sessions it trains on, which of their expert turns, and the trees that hold them.

The answer to a decision point is the expert's own, or what `HindsightTargets` chooses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from learntoask.core.records import LabelledSession, Sample
from learntoask.policy.model import Policy
from learntoask.policy.prompt import completion_tokens, expert_answer
from learntoask.training.sft.hindsight import HindsightTargets
from learntoask.training.tree.layout import Completion, SessionTree
from learntoask.training.tree.rendering import render_session


@dataclass(frozen=True)
class SupervisedTrees:
    """The trees of one session, with the expert's answers as completions.

    `fallbacks` and `cut` count its contexts as `tree.rendering.Rendering` does. `cut_answers` counts answers that were
    longer than a prompt may be; only their beginning is learned, without the end of an answer. `later` counts the
    targets that the expert says at a later turn.
    """

    trees: tuple[SessionTree, ...]
    fallbacks: int
    cut: int
    cut_answers: int
    later: int

    @property
    def size(self) -> int:
        """Packed tokens of all trees."""
        return sum(tree.size for tree in self.trees)


def trained_turns(
    labelled: LabelledSession, *, turns: Literal["labelled", "all"], may_stop: bool
) -> list[int]:
    """Return the turns whose expert answer is a target.

    Those are the labelled turns, or (`turns="all"`) every turn up to the stop in which the expert writes something.
    Without `may_stop` the stop itself is no target.
    """
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
    hindsight: HindsightTargets | None = None,
) -> SupervisedTrees:
    """Return the trees of `labelled`; there are none when it has no target.

    The completions of a turn are the answers that `hindsight` chooses, or the expert's own.
    """
    session = labelled.session
    trained = trained_turns(labelled, turns=turns, may_stop=policy.limits.may_stop)
    rendering = render_session(policy, session, turns=trained)
    samples = {sample.turn: sample for sample in labelled.samples}
    longest = policy.limits.max_prompt_tokens
    answers: dict[int, list[tuple[tuple[int, ...], float]]] = {}  # by turn: tokens and weights
    later = 0
    for turn in trained:
        sample = samples.get(turn)
        chosen = hindsight.targets(labelled, sample) if hindsight and sample else {turn: 1.0}
        later += sum(asked_at != turn for asked_at in chosen)
        answers[turn] = [
            (target_tokens(policy, labelled, asked_at, sample), weight) for asked_at, weight in chosen.items()
        ]
    trees = tuple(
        SessionTree(
            trunk=trunk.tokens,
            completions=tuple(
                Completion(end.attach, tokens[:longest], weight)
                for end in trunk.contexts
                for tokens, weight in answers[end.turn]
            ),
        )
        for trunk in rendering.trunks
    )
    return SupervisedTrees(
        trees,
        fallbacks=rendering.fallbacks,
        cut=rendering.cut,
        cut_answers=sum(len(tokens) > longest for of_turn in answers.values() for tokens, _ in of_turn),
        later=later,
    )


def target_tokens(
    policy: Policy, labelled: LabelledSession, asked_at: int, sample: Sample | None
) -> tuple[int, ...]:
    """Return the answer to learn at the decision point of `sample`: what the expert says at turn `asked_at`."""
    session = labelled.session
    text = policy.target(expert_answer(session, asked_at), session.task, sample)
    return completion_tokens(policy.tokenizer, text)


@dataclass(frozen=True)
class TrainingSplit:
    """The training sessions that SFT trains on, those it leaves to GRPO (`kept`), and the validation sessions."""

    sft: tuple[LabelledSession, ...]
    kept: tuple[LabelledSession, ...]
    validation: tuple[LabelledSession, ...]


def split_for_training(labelled: Iterable[LabelledSession], *, kept_share: float, seed: int) -> TrainingSplit:
    """Assign each session by a hash of (seed, its id), so that SFT and GRPO agree whatever the order of the file.

    Sessions without labels and those of the test split are left out.
    """
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
