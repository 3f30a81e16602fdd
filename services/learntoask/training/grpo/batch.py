"""One batch of GRPO as micro-batches: session trees with the sampled completions, and what the loss must know of each.

At every decision point hang a forced stop branch, from which the probability of stopping is read, and the distinct
sampled completions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from learntoask.core.manifest import Grpo, Method
from learntoask.core.records import Decision, LabelledSession
from learntoask.policy.model import Policy
from learntoask.training.grpo.advantages import Preference, group_advantages, preferences
from learntoask.training.grpo.loss import CompletionFacts, Pairs
from learntoask.training.grpo.samples import AnswerGroup
from learntoask.training.tree.layout import (
    Completion,
    MicroBatch,
    SessionTree,
    fill_micro_batches,
    pack_micro_batch,
)
from learntoask.training.tree.rendering import render_session

_TRUTH: dict[Decision, int] = {"stop": 1, "continue": -1}


@dataclass
class _TreeCompletion:
    """A completion of a tree with its facts as plain numbers; see `CompletionFacts` for their meaning.

    `count` is how often it was sampled, 0 for a forced stop branch. `stop_of` is an index into the tree's completions.
    """

    completion: Completion
    stop_of: int
    stop: bool = False
    truth: int = 0
    count: int = 0
    advantage: float = 0.0
    drawn: tuple[float, ...] = ()

    @property
    def drawn_logprobs(self) -> tuple[float, ...]:
        """One number a token: 0 for a forced branch, whose tokens were not drawn."""
        return self.drawn or (0.0,) * len(self.completion.tokens)


_Forest = list[tuple[SessionTree, list[_TreeCompletion]]]


@dataclass(frozen=True)
class GrpoMicroBatch:
    """Packed trees and the facts about their completions, in the order of the packing."""

    packed: MicroBatch
    facts: CompletionFacts


@dataclass(frozen=True)
class Batch:
    """A batch to be scored.

    `completions` sampled completions count in the loss, in `groups` groups. `skipped` groups have too few grades.
    `fallbacks` counts contexts that are no prefix of their session.
    """

    micro_batches: tuple[GrpoMicroBatch, ...]
    completions: int
    groups: int
    skipped: int
    fallbacks: int


def build_batch(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    groups: Sequence[AnswerGroup],
    *,
    settings: Grpo,
    row_tokens: int,
    method: Method = "grpo",
) -> Batch:
    """Return the trees of `sessions` with the completions of `groups`, packed `row_tokens` tokens at a time.

    For method `grpo` a completion is weighted by its advantage in its group, for the baselines by its reward.
    """
    # Without the end of turn, because a sampled answer may continue after the stop string.
    stop_tokens = policy.stop_tokens[:-1]
    by_point = {(group.session, group.turn): group for group in groups}
    forest: _Forest = []
    counted = skipped = fallbacks = 0
    for index, labelled in enumerate(sessions):
        truths = {sample.turn: _TRUTH[sample.decision] for sample in labelled.samples}
        rendering = render_session(policy, labelled.session, turns=_decision_points(labelled))
        fallbacks += rendering.fallbacks
        for trunk in rendering.trunks:
            entries: list[_TreeCompletion] = []
            for end in trunk.contexts:
                group = by_point.get((index, end.turn))
                members = _count_answers(group, settings, stop_tokens, method) if group else Counter()
                counted += bool(members)
                skipped += bool(group) and not members
                stop = Completion(end.attach, stop_tokens)
                at_point = len(entries)
                entries.append(_TreeCompletion(stop, at_point, stop=True, truth=truths.get(end.turn, 0)))
                entries += _sampled_completions(group, members, attach=end.attach, stop_of=at_point)
            forest.append((SessionTree(trunk.tokens, tuple(entry.completion for entry in entries)), entries))
    if method == "rewardWeighted":
        _scale_to_mean(entry for _, entries in forest for entry in entries if entry.count)
    return Batch(
        _micro_batches(forest, policy, settings=settings, row_tokens=row_tokens, paired=method == "dpo"),
        completions=sum(entry.count for _, entries in forest for entry in entries),
        groups=counted,
        skipped=skipped,
        fallbacks=fallbacks,
    )


def _decision_points(labelled: LabelledSession) -> list[int]:
    """All expert turns up to the stop, labelled or not, because the policy decides at each of them."""
    session = labelled.session
    last = len(session.turns) - 1 if session.stop_turn is None else session.stop_turn
    return list(range(last + 1))


def _count_answers(
    group: AnswerGroup, settings: Grpo, stop_tokens: tuple[int, ...], method: Method
) -> Counter[tuple[tuple[int, ...], float]]:
    """The distinct (tokens, advantage) of a group with their multiplicity, so that equal answers are scored once.

    With factored credit the sampled stops are left out: advantages are taken among the group's questions.
    """
    members = [
        member
        for member in group.members
        if member.answer.tokens
        and not (settings.credit == "factored" and member.answer.tokens[: len(stop_tokens)] == stop_tokens)
    ]
    rewards = [member.reward for member in members]
    advantages = group_advantages(rewards) if method == "grpo" else rewards
    return Counter(
        (member.answer.tokens, advantage)
        for member, advantage in zip(members, advantages, strict=True)
        if advantage is not None
    )


def _sampled_completions(
    group: AnswerGroup | None,
    members: Counter[tuple[tuple[int, ...], float]],
    *,
    attach: int,
    stop_of: int,
) -> list[_TreeCompletion]:
    drawn = {member.answer.tokens: member.answer.logprobs for member in group.members} if group else {}
    return [
        _TreeCompletion(
            Completion(attach, tokens), stop_of, count=count, advantage=advantage, drawn=drawn[tokens]
        )
        for (tokens, advantage), count in members.items()
    ]


def _scale_to_mean(entries: Iterable[_TreeCompletion]) -> None:
    """Divide the rewards by their mean, so that a learning rate means the same whatever the scale of the rewards."""
    sampled = list(entries)
    total = sum(entry.advantage * entry.count for entry in sampled)
    scale = sum(entry.count for entry in sampled) / total if total > 0 else 0.0
    for entry in sampled:
        entry.advantage *= scale


@dataclass(frozen=True)
class _Totals:
    """What the weights of a batch are shares of."""

    completions: int
    points: int
    at_stake: float
    paired_contexts: float


def _micro_batches(
    forest: _Forest, policy: Policy, *, settings: Grpo, row_tokens: int, paired: bool
) -> tuple[GrpoMicroBatch, ...]:
    forest = sorted(forest, key=lambda pair: -pair[0].size)
    preferred = [_preferences(entries) if paired else [] for _, entries in forest]
    totals = _Totals(
        completions=sum(entry.count for _, entries in forest for entry in entries),
        points=sum(entry.stop for _, entries in forest for entry in entries),
        at_stake=sum(_stake(entry, settings) for _, entries in forest for entry in entries),
        paired_contexts=sum(
            pair.share for pairs in preferred for pair in pairs
        ),  # 1 for each context with pairs
    )
    micro_batches = []
    for indices in fill_micro_batches([tree.size for tree, _ in forest], budget=row_tokens):
        entries: list[_TreeCompletion] = []
        stop_of: list[int] = []
        pairs: list[Preference] = []
        for index in indices:
            offset = len(entries)
            stop_of += [offset + entry.stop_of for entry in forest[index][1]]
            pairs += [pair.shifted(offset) for pair in preferred[index]]
            entries += forest[index][1]
        packed = pack_micro_batch([forest[index][0] for index in indices])
        facts = _facts(packed, entries, stop_of, totals, policy, settings)
        if paired:
            facts = replace(facts, pairs=_pairs(pairs, totals, device=policy.model.device))
        micro_batches.append(GrpoMicroBatch(packed, facts))
    return tuple(micro_batches)


def _facts(
    packed: MicroBatch,
    entries: Sequence[_TreeCompletion],
    stop_of: Sequence[int],
    totals: _Totals,
    policy: Policy,
    settings: Grpo,
) -> CompletionFacts:
    device, may_stop = policy.model.device, policy.limits.may_stop

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    stakes = [_stake(entry, settings) * may_stop for entry in entries]
    return CompletionFacts(
        lengths=torch.from_numpy(packed.lengths).to(device),
        weight=column([entry.count / max(totals.completions, 1) for entry in entries]),
        advantage=column([entry.advantage for entry in entries]),
        stop=torch.tensor([entry.stop for entry in entries], device=device),
        truth=torch.tensor([entry.truth for entry in entries], device=device),
        decision_weight=column([stake / max(totals.at_stake, 1.0) for stake in stakes]),
        hold_weight=column([(entry.stop and may_stop) / max(totals.points, 1) for entry in entries]),
        stop_of=torch.tensor(stop_of, device=device),
        drawn=column([logprob for entry in entries for logprob in entry.drawn_logprobs]),
    )


def _stake(entry: _TreeCompletion, settings: Grpo) -> float:
    """The weight of the decision at a forced stop branch; 0 where its label is not known."""
    if not entry.stop or entry.truth == 0:
        return 0.0
    return settings.stop_weight if entry.truth > 0 else 1.0


def _preferences(entries: Sequence[_TreeCompletion]) -> list[Preference]:
    return preferences(
        contexts=[entry.stop_of for entry in entries],
        rewards=[entry.advantage for entry in entries],
        counts=[entry.count for entry in entries],
    )


def _pairs(pairs: Sequence[Preference], totals: _Totals, *, device: torch.device) -> Pairs:
    shares = torch.tensor([pair.share for pair in pairs], dtype=torch.float32, device=device)
    return Pairs(
        better=torch.tensor([pair.better for pair in pairs], dtype=torch.long, device=device),
        worse=torch.tensor([pair.worse for pair in pairs], dtype=torch.long, device=device),
        weight=shares / max(totals.paired_contexts, 1.0),
    )
