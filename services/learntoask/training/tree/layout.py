"""Session trees: what one update computes, described without tensors of the model.

A trunk is the rendered session up to its last context; a branch is a completion attached where its context ends. A
row packs several trees one after another: trunk, then its branches, then the next tree. Every token of a row sees

    row[trunk_start : trunk_limit]  and  row[branch_start : itself + 1]

and nothing else, so three integers a token are the whole attention mask (a trunk token sees its trunk up to itself, a
branch token the trunk up to its context's end and its own branch so far). The CPU attention reads the same facts as
spans (`TrunkSpan`), the block mask of a GPU reads the integers; the logits are read at `reads` only.
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
    """Tokens to be scored after `trunk[:attach]`."""

    attach: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class SessionTree:
    """A trunk and the completions to be scored, in the caller's order.

    A completion that the trunk itself goes on with (an expert's turn) is scored in place; any other becomes a branch.
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
        end = completion.attach + len(completion.tokens)
        return self.trunk[completion.attach : end] == completion.tokens

    @cached_property
    def used_trunk(self) -> int:
        """Trunk tokens that some completion depends on."""
        return max(
            completion.attach + (len(completion.tokens) - 1 if self.in_trunk(completion) else 0)
            for completion in self.completions
        )

    @cached_property
    def size(self) -> int:
        """Tokens of the tree in a row. The last token of a completion is only predicted, never read."""
        return self.used_trunk + sum(
            len(completion.tokens) - 1 for completion in self.completions if not self.in_trunk(completion)
        )

    @property
    def unshared_size(self) -> int:
        """Tokens of the same computation with one row per completion and no padding."""
        return sum(completion.attach + len(completion.tokens) - 1 for completion in self.completions)


@dataclass(frozen=True)
class BranchGroup:
    """Branches of one context: `row[start:stop]`, each `lengths[i]` long, seeing `prefix` trunk tokens."""

    start: int
    stop: int
    prefix: int
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class TrunkSpan:
    """A trunk, `row[start:stop]`, and its branch groups, which follow it in the row without a gap."""

    start: int
    stop: int
    groups: tuple[BranchGroup, ...]


@dataclass(frozen=True)
class MicroBatch:
    """Several trees in one row of n tokens with m scored tokens.

    `tokens`, `positions`, `trunk_start`, `trunk_limit`, `branch_start`: [n]. `reads` [m] is where the hidden state that
    predicts `targets` [m] lies. Completion c, counted through all trees in order, owns the scored tokens
    `offsets[c]:offsets[c + 1]`.
    """

    tokens: Integers
    positions: Integers
    trunk_start: Integers
    trunk_limit: Integers
    branch_start: Integers
    reads: Integers
    targets: Integers
    offsets: Integers
    spans: tuple[TrunkSpan, ...]

    @property
    def lengths(self) -> Integers:
        """Scored tokens of each completion: [completions]."""
        return np.diff(self.offsets)

    def sees(self, query: Integers, key: Integers) -> NDArray[np.bool_]:
        """Whether token `query` attends to token `key` (broadcast): the definition of the mask."""
        in_trunk = (self.trunk_start[query] <= key) & (key < self.trunk_limit[query])
        return in_trunk | ((self.branch_start[query] <= key) & (key <= query))


@dataclass
class _Columns:
    """The row under construction."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    trunk_start: list[int] = field(default_factory=list)
    trunk_limit: list[int] = field(default_factory=list)
    branch_start: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=lambda: [0])

    def add_trunk(self, trunk: Sequence[int]) -> int:
        start = len(self.tokens)
        rows = range(start, start + len(trunk))
        self.tokens.extend(trunk)
        self.positions.extend(range(len(trunk)))
        self.trunk_start.extend([start] * len(trunk))
        self.trunk_limit.extend(row + 1 for row in rows)
        self.branch_start.extend(rows)
        return start

    def add_branch(self, tokens: Sequence[int], *, trunk: int, prefix: int) -> int:
        start = len(self.tokens)
        count = len(tokens)
        self.tokens.extend(tokens)
        self.positions.extend(range(prefix, prefix + count))
        self.trunk_start.extend([trunk] * count)
        self.trunk_limit.extend([trunk + prefix] * count)
        self.branch_start.extend([start] * count)
        return start

    def add_targets(self, tokens: Sequence[int], *, context_end: int, body: int) -> None:
        """Score `tokens`: the first is read at row `context_end`, the others from row `body` on."""
        self.reads.append(context_end)
        self.reads.extend(range(body, body + len(tokens) - 1))
        self.targets.extend(tokens)
        self.offsets.append(len(self.targets))


def pack_micro_batch(trees: Sequence[SessionTree]) -> MicroBatch:
    """Lay `trees` out in one row. Scored completions keep the order of `trees` and of their `completions`."""
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
        spans=tuple(spans),
    )


def _add_branches(
    columns: _Columns, tree: SessionTree, trunk: int
) -> tuple[dict[int, int], tuple[BranchGroup, ...]]:
    """Append the branches of `tree`, by context; returns where each completion's branch begins, and the groups."""
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
    """Indices of `sizes` cut into consecutive rows of at most `budget` tokens (a larger tree has a row of its own)."""
    rows: list[list[int]] = []
    used = 0
    for index, size in enumerate(sizes):
        if rows and used + size <= budget:
            rows[-1].append(index)
            used += size
        else:
            rows.append([index])
            used = size
    return rows
