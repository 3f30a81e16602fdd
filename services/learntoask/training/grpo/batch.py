"""One batch of GRPO: sampled completions, their rewards, and the packed rows that score them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from learntoask.core.manifest import Grpo, Method, Reward
from learntoask.core.records import STOP, Decision, LabelledSession, Sample
from learntoask.decoding.sessions import SampledAnswer as Sampled
from learntoask.grading.grades import Grade, GradeCase, Grader, MissingGrade
from learntoask.grading.reward import reward
from learntoask.policy.model import Policy
from learntoask.training.grpo.advantages import Preference, group_advantages, preferences
from learntoask.training.grpo.loss import CompletionFacts, Pairs
from learntoask.training.tree.layout import (
    Completion,
    MicroBatch,
    SessionTree,
    fill_micro_batches,
    pack_micro_batch,
)
from learntoask.training.tree.rendering import render_session

_TRUTH: dict[Decision, int] = {"stop": 1, "continue": -1}


@dataclass(frozen=True)
class GradedAnswer:
    """A sampled completion and its reward (None: the grade is missing)."""

    sampled: Sampled
    grade: Grade | MissingGrade
    reward: float | None


@dataclass(frozen=True)
class AnswerGroup:
    """The completions of one decision point."""

    session: int
    turn: int
    decision: Decision
    members: tuple[GradedAnswer, ...]


def sampled_points(labelled: LabelledSession, settings: Grpo, mode: str) -> LabelledSession:
    """The session with the samples that completions are drawn for. Factored credit needs none at a stop: nothing but
    the decision matters there, and that is computed exactly."""
    if settings.credit == "plain" and mode != "ask_only":
        return labelled
    samples = tuple(sample for sample in labelled.samples if sample.decision == "continue")
    return labelled.model_copy(update={"samples": samples})


def grade_samples(
    sessions: Sequence[LabelledSession],
    sampled: Sequence[Sequence[Sequence[Sampled]]],
    *,
    grader: Grader,
    spec: Reward,
) -> list[AnswerGroup]:
    """Grade everything that was sampled, in one call, and turn grades into rewards."""
    points: list[tuple[int, LabelledSession, Sample, Sequence[Sampled]]] = [
        (index, labelled, sample, members)
        for index, (labelled, groups) in enumerate(zip(sessions, sampled, strict=True))
        for sample, members in zip(labelled.samples, groups, strict=True)
    ]
    cases = [
        GradeCase.of_sample(labelled, sample, member.text)
        for _, labelled, sample, members in points
        for member in members
    ]
    grades = iter(grader.grade(cases))
    groups = []
    for index, _, sample, members in points:
        judged = []
        for member in members:
            grade = next(grades)
            value = reward(grade, decision=sample.decision, response=member.text, spec=spec)
            judged.append(GradedAnswer(member, grade, value))
        groups.append(AnswerGroup(index, sample.turn, sample.decision, tuple(judged)))
    return groups


@dataclass
class _Entry:
    """One completion of a tree, with its facts still as plain numbers."""

    completion: Completion
    stop_of: int
    stop: bool = False
    truth: int = 0
    count: int = 0
    advantage: float = 0.0
    drawn: tuple[float, ...] = ()

    @property
    def drawn_logprobs(self) -> tuple[float, ...]:
        """One a token; nobody drew a forced branch."""
        return self.drawn or (0.0,) * len(self.completion.tokens)


@dataclass(frozen=True)
class GrpoMicroBatch:
    row: MicroBatch
    facts: CompletionFacts


@dataclass(frozen=True)
class Batch:
    """Rows to be scored. `completions` count in the loss, in `groups` groups; `skipped` groups had too few grades;
    `fallbacks` counts contexts that are no prefix of their session."""

    rows: tuple[GrpoMicroBatch, ...]
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
    """Trees of `sessions` with the completions of `groups`, and a forced stop branch at every decision point.

    What is learned from a completion is its advantage in its group or, for other methods than GRPO, its reward.
    """
    stop_tokens = policy.stop_tokens[:-1]  # the stop string itself, however the answer goes on
    by_point = {(group.session, group.turn): group for group in groups}
    forest: list[tuple[SessionTree, list[_Entry]]] = []
    counted = skipped = fallbacks = 0
    for index, labelled in enumerate(sessions):
        truths = {sample.turn: _TRUTH[sample.decision] for sample in labelled.samples}
        rendering = render_session(policy, labelled.session, turns=_decision_points(labelled))
        fallbacks += rendering.fallbacks
        for trunk in rendering.trunks:
            entries: list[_Entry] = []
            for end in trunk.contexts:
                stop_of = len(entries)
                truth = truths.get(end.turn, 0)
                entries.append(_Entry(Completion(end.attach, stop_tokens), stop_of, stop=True, truth=truth))
                group = by_point.get((index, end.turn))
                members = _counted_members(group, settings, stop_tokens, method) if group else Counter()
                counted += bool(members)
                skipped += bool(group) and not members
                drawn = (
                    {member.sampled.tokens: member.sampled.logprobs for member in group.members}
                    if group
                    else {}
                )
                for (tokens, advantage), count in members.items():
                    entries.append(
                        _Entry(
                            Completion(end.attach, tokens),
                            stop_of,
                            count=count,
                            advantage=advantage,
                            drawn=drawn[tokens],
                        )
                    )
            forest.append((SessionTree(trunk.tokens, tuple(entry.completion for entry in entries)), entries))
    completions = sum(entry.count for _, entries in forest for entry in entries)
    if method == "rewardWeighted":
        _scale_to_mean(entry for _, entries in forest for entry in entries if entry.count)
    rows = _rows(
        forest,
        settings=settings,
        completions=completions,
        row_tokens=row_tokens,
        may_stop=policy.limits.may_stop,
        device=policy.model.device,
        paired=method == "dpo",
    )
    return Batch(rows, completions, counted, skipped, fallbacks)


def _decision_points(labelled: LabelledSession) -> list[int]:
    """Every expert turn up to the stop, labelled or not: the policy decides at all of them."""
    session = labelled.session
    last = len(session.turns) - 1 if session.stop_turn is None else session.stop_turn
    return list(range(last + 1))


def _scale_to_mean(entries: Iterable[_Entry]) -> None:
    """Divide the rewards by their mean, so that a learning rate means the same whatever the scale of the rewards."""
    sampled = list(entries)
    total = sum(entry.advantage * entry.count for entry in sampled)
    scale = sum(entry.count for entry in sampled) / total if total > 0 else 0.0
    for entry in sampled:
        entry.advantage *= scale


def _counted_members(
    group: AnswerGroup, settings: Grpo, stop_tokens: tuple[int, ...], method: Method
) -> Counter[tuple[tuple[int, ...], float]]:
    """Distinct (tokens, advantage) of a group with their multiplicity: equal completions are scored once.

    With factored credit the group is its questions, whatever decision the others took.
    """
    members = [
        member
        for member in group.members
        if member.sampled.tokens
        and not (settings.credit == "factored" and member.sampled.tokens[: len(stop_tokens)] == stop_tokens)
    ]
    rewards = [member.reward for member in members]
    advantages = group_advantages(rewards) if method == "grpo" else rewards
    return Counter(
        (member.sampled.tokens, advantage)
        for member, advantage in zip(members, advantages, strict=True)
        if advantage is not None
    )


def _rows(
    forest: list[tuple[SessionTree, list[_Entry]]],
    *,
    settings: Grpo,
    completions: int,
    row_tokens: int,
    may_stop: bool,
    device: torch.device,
    paired: bool,
) -> tuple[GrpoMicroBatch, ...]:
    forest = sorted(forest, key=lambda pair: -pair[0].size)
    points = sum(entry.stop for _, entries in forest for entry in entries)
    at_stake = sum(_stake(entry, settings) for _, entries in forest for entry in entries)
    preferred = [_preferred(entries) if paired else [] for _, entries in forest]
    paired_contexts = sum(one.share for found in preferred for one in found)  # a context's shares add up to 1
    rows = []
    for indices in fill_micro_batches([tree.size for tree, _ in forest], budget=row_tokens):
        chosen = [forest[index] for index in indices]
        row = pack_micro_batch([tree for tree, _ in chosen])
        entries, stop_of, pairs = [], [], []
        for index in indices:
            offset, tree_entries = len(entries), forest[index][1]
            stop_of += [offset + entry.stop_of for entry in tree_entries]
            pairs += [(offset + one.better, offset + one.worse, one.share) for one in preferred[index]]
            entries += tree_entries

        def column(values: list[float]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        stakes = [_stake(entry, settings) * may_stop for entry in entries]
        facts = CompletionFacts(
            lengths=torch.from_numpy(row.lengths).to(device),
            weight=column([entry.count / max(completions, 1) for entry in entries]),
            advantage=column([entry.advantage for entry in entries]),
            stop=torch.tensor([entry.stop for entry in entries], device=device),
            truth=torch.tensor([entry.truth for entry in entries], device=device),
            decision_weight=column([stake / max(at_stake, 1.0) for stake in stakes]),
            hold_weight=column([(entry.stop and may_stop) / max(points, 1) for entry in entries]),
            stop_of=torch.tensor(stop_of, device=device),
            drawn=column([one for entry in entries for one in entry.drawn_logprobs]),
            pairs=_pairs(pairs, contexts=paired_contexts, device=device) if paired else None,
        )
        rows.append(GrpoMicroBatch(row, facts))
    return tuple(rows)


def _preferred(entries: Sequence[_Entry]) -> list[Preference]:
    return preferences(
        contexts=[entry.stop_of for entry in entries],
        rewards=[entry.advantage for entry in entries],
        counts=[entry.count for entry in entries],
    )


def _pairs(pairs: Sequence[tuple[int, int, float]], *, contexts: float, device: torch.device) -> Pairs:
    better, worse, shares = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Pairs(
        better=torch.tensor(better, dtype=torch.long, device=device),
        worse=torch.tensor(worse, dtype=torch.long, device=device),
        weight=torch.tensor(shares, dtype=torch.float32, device=device) / max(contexts, 1.0),
    )


def _stake(entry: _Entry, settings: Grpo) -> float:
    """What the decision at a forced stop branch counts."""
    if not entry.stop or entry.truth == 0:
        return 0.0
    return settings.stop_weight if entry.truth > 0 else 1.0


@dataclass(frozen=True)
class BatchFigures:
    """What one batch of samples looked like, for the journal and the guards."""

    reward: float
    hit: float
    missing: float
    unfinished: float
    wrong_stops: float
    commonest: float  # share of the most frequent answer among all


def batch_figures(groups: Sequence[AnswerGroup]) -> BatchFigures:
    members = [(group, member) for group in groups for member in group.members]
    rewards = [member.reward for _, member in members if member.reward is not None]
    grades = [member.grade for group, member in members if group.decision == "continue"]
    texts = Counter(member.sampled.text for _, member in members)
    return BatchFigures(
        reward=fmean(rewards) if rewards else 0.0,
        hit=_mean([grade.content_any for grade in grades if isinstance(grade, Grade)]),
        missing=_mean([float(member.reward is None) for _, member in members]),
        unfinished=_mean([float(not member.sampled.finished) for _, member in members]),
        wrong_stops=_mean(
            [float(STOP in member.sampled.text) for group, member in members if group.decision == "continue"]
        ),
        commonest=max(texts.values(), default=0) / max(1, len(members)),
    )


def _mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0
