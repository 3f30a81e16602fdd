"""Session trees and their layout in a micro-batch, the packed tokens of one forward pass.

A trunk is the rendered session up to its last context. A branch is a completion, attached where its context ends. A
micro-batch packs several trees one after another: a trunk, its branches, then the next tree. Every token sees

    tokens[trunk_start : trunk_limit]  and  tokens[branch_start : itself + 1]

and nothing else, so three integers a token define the whole attention mask: a trunk token sees its trunk up to itself,
a branch token sees the trunk up to the end of its context and its own branch so far. The attention of a CPU uses the
same structure as spans (`TrunkSpan`), that of a GPU uses the integers. Logits are computed at `reads` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Completion:
    """Tokens whose log-probabilities are computed given `trunk[:attach]`, and their weight in a supervised loss."""

    attach: int
    tokens: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class SessionTree:
    """A trunk and the completions to be scored, in the caller's order.

    A completion that equals the next tokens of the trunk (an expert's turn) is scored in place; any other is a branch.
    """

    trunk: tuple[int, ...]
    completions: tuple[Completion, ...]

    def __post_init__(self) -> None:
        for completion in self.completions:
            if not 0 < completion.attach <= len(self.trunk) or not completion.tokens:
                raise ValueError(
                    f"a completion of {len(completion.tokens)} tokens cannot attach at {completion.attach} "
                    f"of a trunk of {len(self.trunk)} tokens"
                )

    def in_trunk(self, completion: Completion) -> bool:
        """Return whether `completion` is scored in place."""
        end = completion.attach + len(completion.tokens)
        return self.trunk[completion.attach : end] == completion.tokens

    @cached_property
    def used_trunk(self) -> int:
        """Number of trunk tokens on which some completion depends."""
        return max(
            completion.attach + (len(completion.tokens) - 1 if self.in_trunk(completion) else 0)
            for completion in self.completions
        )

    @cached_property
    def size(self) -> int:
        """Packed tokens of the tree. The last token of a completion is predicted only, so it is not packed."""
        return self.used_trunk + sum(
            len(completion.tokens) - 1 for completion in self.completions if not self.in_trunk(completion)
        )

    @property
    def unshared_size(self) -> int:
        """Tokens of the same computation with one sequence per completion and no padding."""
        return sum(completion.attach + len(completion.tokens) - 1 for completion in self.completions)


@dataclass(frozen=True)
class BranchGroup:
    """Branches of one context: `tokens[start:stop]`, of `lengths[i]` tokens each, which see `prefix` trunk tokens."""

    start: int
    stop: int
    prefix: int
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class TrunkSpan:
    """A trunk, `tokens[start:stop]`, and its branch groups, which follow it without a gap."""

    start: int
    stop: int
    groups: tuple[BranchGroup, ...]


@dataclass(frozen=True)
class MicroBatch:
    """Several packed trees of n tokens with m scored tokens.

    `tokens`, `positions`, `trunk_start`, `trunk_limit` and `branch_start` are [n]. `reads` [m] are the indices of the
    hidden states that predict `targets` [m]. The scored tokens of completion c, counted through all trees, are
    `offsets[c]:offsets[c + 1]`, and `weights[c]` is its weight.
    """

    tokens: Integers
    positions: Integers
    trunk_start: Integers
    trunk_limit: Integers
    branch_start: Integers
    reads: Integers
    targets: Integers
    offsets: Integers
    weights: NDArray[np.float64]
    spans: tuple[TrunkSpan, ...]

    @property
    def lengths(self) -> Integers:
        """Number of scored tokens of each completion: [completions]."""
        return np.diff(self.offsets)

    @cached_property
    def token_weights(self) -> NDArray[np.float64]:
        """The weight of the completion of each scored token: [m]."""
        return np.repeat(self.weights, self.lengths)

    def sees(self, query: Integers, key: Integers) -> NDArray[np.bool_]:
        """Return whether token `query` attends to token `key` (broadcast). This is the definition of the mask."""
        in_trunk = (self.trunk_start[query] <= key) & (key < self.trunk_limit[query])
        return in_trunk | ((self.branch_start[query] <= key) & (key <= query))


@dataclass
class _Columns:
    """The micro-batch under construction, column by column."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    trunk_start: list[int] = field(default_factory=list)
    trunk_limit: list[int] = field(default_factory=list)
    branch_start: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=lambda: [0])

    def add_trunk(self, trunk: Sequence[int]) -> int:
        """Append a trunk; returns the index of its first token."""
        start = len(self.tokens)
        indices = range(start, start + len(trunk))
        self.tokens.extend(trunk)
        self.positions.extend(range(len(trunk)))
        self.trunk_start.extend([start] * len(trunk))
        self.trunk_limit.extend(index + 1 for index in indices)
        self.branch_start.extend(indices)
        return start

    def add_branch(self, tokens: Sequence[int], *, trunk: int, prefix: int) -> int:
        """Append a branch that sees `prefix` tokens of the trunk at index `trunk`; returns its first index."""
        start = len(self.tokens)
        count = len(tokens)
        self.tokens.extend(tokens)
        self.positions.extend(range(prefix, prefix + count))
        self.trunk_start.extend([trunk] * count)
        self.trunk_limit.extend([trunk + prefix] * count)
        self.branch_start.extend([start] * count)
        return start

    def add_targets(self, tokens: Sequence[int], *, context_end: int, body: int) -> None:
        """Score `tokens`. The first is predicted at index `context_end`, the others from index `body` on."""
        self.reads.append(context_end)
        self.reads.extend(range(body, body + len(tokens) - 1))
        self.targets.extend(tokens)
        self.offsets.append(len(self.targets))


def pack_micro_batch(trees: Sequence[SessionTree]) -> MicroBatch:
    """Pack `trees` one after another. Scored completions keep the order of `trees` and of their `completions`."""
    columns = _Columns()
    spans = []
    for tree in trees:
        trunk = columns.add_trunk(tree.trunk[: tree.used_trunk])
        bodies, groups = _add_branches(columns, tree, trunk)
        spans.append(TrunkSpan(start=trunk, stop=trunk + tree.used_trunk, groups=groups))
        for index, completion in enumerate(tree.completions):
            columns.add_targets(
                completion.tokens,
                context_end=trunk + completion.attach - 1,
                body=bodies.get(index, trunk + completion.attach),
            )
    return MicroBatch(
        **{name: np.asarray(values, dtype=np.int64) for name, values in vars(columns).items()},
        weights=np.array([completion.weight for tree in trees for completion in tree.completions]),
        spans=tuple(spans),
    )


def _add_branches(
    columns: _Columns, tree: SessionTree, trunk: int
) -> tuple[dict[int, int], tuple[BranchGroup, ...]]:
    """Append the branches of `tree` by context. Returns where the branch of each completion begins, and the groups."""
    branches = [
        (index, completion)
        for index, completion in enumerate(tree.completions)
        if len(completion.tokens) > 1 and not tree.in_trunk(completion)
    ]
    branches.sort(key=lambda pair: pair[1].attach)
    bodies: dict[int, int] = {}
    groups: list[BranchGroup] = []
    for index, completion in branches:
        inner = completion.tokens[:-1]
        start = columns.add_branch(inner, trunk=trunk, prefix=completion.attach)
        bodies[index] = start
        last = groups[-1] if groups else None
        if last and last.prefix == completion.attach:
            groups[-1] = BranchGroup(last.start, start + len(inner), last.prefix, (*last.lengths, len(inner)))
        else:
            groups.append(BranchGroup(start, start + len(inner), completion.attach, (len(inner),)))
    return bodies, tuple(groups)


def fill_micro_batches(sizes: Iterable[int], *, budget: int) -> list[list[int]]:
    """Cut the trees of `sizes` tokens into consecutive micro-batches of at most `budget` tokens; returns indices.

    A tree larger than `budget` is a micro-batch by itself.
    """
    groups: list[list[int]] = []
    used = 0
    for index, size in enumerate(sizes):
        if groups and used + size <= budget:
            groups[-1].append(index)
            used += size
        else:
            groups.append([index])
            used = size
    return groups
