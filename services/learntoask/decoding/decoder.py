"""Decode many answers at once on trees: each trunk is read once, its branches share its keys and values.

Two more savings, both exact. Branches of one context that have drawn the same tokens so far are one row of the batch
until they part (a policy that is sure of its stop says it once, not G times). And a trunk that begins like another
one still at hand (same system prompt, earlier turns of the same conversation) is read from where they part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from learntoask.decoding.attention import (
    AttentionPlan,
    PrefillAttention,
    StepAttention,
    TrunkGroup,
    TrunkSegment,
    additive_mask,
    branching_attention,
)
from learntoask.decoding.branch import Branch, Trunk, choose
from learntoask.decoding.prefill import PrefillPlan, begins_with, plan_prefill

CAPACITY_STEP = 16
"""Tokens by which the branches' own caches grow."""


@dataclass(frozen=True, eq=False)
class _Row:
    """Branches that have the same trunk, attach point and tokens so far; `token` is the last of those `drawn`."""

    trunk: Trunk
    attach: int
    drawn: int
    token: int
    branches: list[Branch]


class Decoder:
    """Branches of any number of trunks, decoded as one batch; trunks may be admitted between steps.

    `kept_tokens`: trunk tokens whose keys and values stay at hand after their last branch is done, with the greedy
    answer if there is one, so that a continued conversation is read from where it was left. `model` must not change
    while any are kept.
    """

    def __init__(self, model: PreTrainedModel, *, ends: frozenset[int], kept_tokens: int = 0) -> None:
        self._model = model
        self._ends = ends
        self._kept_tokens = kept_tokens
        self._kept: list[Trunk] = []  # the most recently used last
        self._rows: list[_Row] = []
        self._own: Tensor | None = None  # [layers, 2, rows, kv heads, capacity, d]

    @property
    def rows(self) -> int:
        """Tokens the next step computes."""
        return len(self._rows)

    @property
    def trunk_tokens(self) -> int:
        """Tokens of the trunks that still have branches to decode."""
        return sum(len(trunk.tokens) for trunk in self._live())

    @property
    def idle_tokens(self) -> int:
        """Tokens of the trunks that are only kept for what may go on from them."""
        return sum(len(trunk.tokens) for trunk in self._kept)

    def admit(self, trunks: Sequence[Trunk]) -> list[Branch]:
        """Read `trunks` and draw the first token of each of their branches. Returns the branches already done."""
        done: list[Branch] = []
        with branching_attention(self._model):
            for batch in plan_prefill(trunks, [*self._live(), *self._kept]):
                done += self._prefill(batch)
        self._retire(trunks)
        return done

    def step(self) -> list[Branch]:
        """Draw one more token for every live branch. Returns the branches done by it."""
        if not self._rows or self._own is None:
            return []
        slots = [row.drawn - 1 for row in self._rows]
        self._own = _roomy(self._own, max(slots) + 1)
        device = self._own.device
        plan = StepAttention(
            groups=list(self._groups()),
            own=self._own,
            slots=torch.tensor(slots, device=device),
            longest=max(slots),
            mask=_length_mask([slot + 1 for slot in slots], self._own)[:, None, None]
            if min(slots) < max(slots)
            else None,
        )
        with branching_attention(self._model):
            logits = self._logits(
                [row.token for row in self._rows],
                [row.attach + row.drawn - 1 for row in self._rows],
                plan,
                keep=range(len(self._rows)),
            )
            before = self._live()
            rows, parents, done = self._advance(logits, self._rows)
        answered = self._answered()
        self._replace(rows, parents)
        self._retire([*before, *answered])
        return done

    def cancel(self, branch: Branch) -> None:
        """Stop decoding `branch`; its place in the batch is free from the next step on."""
        before = self._live()
        rows = [
            replace(row, branches=[other for other in row.branches if other is not branch])
            for row in self._rows
        ]
        parents = [index for index, row in enumerate(rows) if row.branches]
        self._replace([rows[index] for index in parents], parents)
        self._retire(before)

    def _prefill(self, batch: Sequence[PrefillPlan]) -> list[Branch]:
        segments, rows, keep = [], [], []
        tokens: list[int] = []
        positions: list[int] = []
        for reading in batch:
            trunk, shared = reading.trunk, reading.shared
            start = len(tokens)
            trunk.shared = shared
            tokens.extend(trunk.tokens[shared:].tolist())
            positions.extend(range(shared, len(trunk.tokens)))
            segments.append(
                TrunkSegment(
                    start,
                    len(tokens),
                    reading.source.cache if reading.source else (),
                    shared=shared,
                    cache=trunk.cache,
                )
            )
            for attach in sorted({branch.attach for branch in trunk.branches}):
                members = [branch for branch in trunk.branches if branch.attach == attach]
                rows.append(_Row(trunk, attach, 0, -1, members))
                keep.append(start + attach - 1 - shared)
        logits = self._logits(tokens, positions, PrefillAttention(segments), keep=keep)
        rows, _, done = self._advance(logits, rows)
        self._append(rows)
        return done

    def _logits(
        self, tokens: Sequence[int], positions: Sequence[int], plan: AttentionPlan, *, keep: Sequence[int]
    ) -> Tensor:
        """Logits [len(keep), vocabulary] of a packed row, float32."""
        device = self._model.device
        output = self._model(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(list(keep), device=device),
            attention_plan=plan,
        )
        logits: Tensor = output.logits[0].float()
        return logits

    def _advance(self, logits: Tensor, rows: Sequence[_Row]) -> tuple[list[_Row], list[int], list[Branch]]:
        """Give each branch of `rows` its next token; returns the rows to go on with, the index of the row each came
        from, and the branches now done."""
        places = [(index, branch) for index, row in enumerate(rows) for branch in row.branches]
        tokens, logprobs = choose(logits, places)
        parts: dict[tuple[int, int], list[Branch]] = {}
        done = []
        for (_, branch), token, logprob in zip(places, tokens, logprobs, strict=True):
            branch.tokens.append(token)
            branch.logprobs.append(logprob)
            branch.ended = not branch.forced and token in self._ends
        for (index, branch), token in zip(places, tokens, strict=True):  # one may end another
            if branch.done:
                done.append(branch)
            else:
                parts.setdefault((index, token), []).append(branch)
        grown = [
            _Row(rows[index].trunk, rows[index].attach, rows[index].drawn + 1, token, branches)
            for (index, token), branches in parts.items()
        ]
        return grown, [index for index, _ in parts], done

    def _append(self, rows: list[_Row]) -> None:
        if not rows:
            return
        cache = rows[0].trunk.cache
        _, kv_heads, _, width = cache[0].shape
        capacity = CAPACITY_STEP if self._own is None else self._own.shape[4]
        own = cache[0].new_zeros(len(cache), 2, len(rows), kv_heads, capacity, width)
        self._own = own if self._own is None else torch.cat((self._own, own), dim=2)
        self._rows = [*self._rows, *rows]

    def _replace(self, rows: list[_Row], parents: list[int]) -> None:
        if not rows:
            self._own = None
        elif self._own is not None and parents != list(range(len(self._rows))):
            self._own = self._own.index_select(2, torch.tensor(parents, device=self._own.device))
        self._rows = rows

    def _groups(self) -> Iterator[TrunkGroup]:
        start = 0
        while start < len(self._rows):
            trunk = self._rows[start].trunk
            stop = start
            while stop < len(self._rows) and self._rows[stop].trunk is trunk:
                stop += 1
            lengths = [row.attach for row in self._rows[start:stop]]
            mask = None
            if min(lengths) < max(lengths):
                config = self._model.config
                fold = config.num_attention_heads // trunk.cache[0].shape[1]
                mask = _length_mask(lengths * fold, trunk.cache[0])[None, None]
            yield TrunkGroup(start, stop, trunk.cache, max(lengths), mask)
            start = stop

    def _answered(self) -> list[Trunk]:
        """The trunks whose greedy answer is just done, grown by it: what a conversation's next turn goes on from."""
        if self._own is None or not self._kept_tokens:
            return []
        return [
            _grown(row, self._own[:, :, index])
            for index, row in enumerate(self._rows)
            if row.attach == len(row.trunk.tokens)
            and any(branch.greedy and branch.done for branch in row.branches)
        ]

    def _live(self) -> list[Trunk]:
        return list(dict.fromkeys(row.trunk for row in self._rows))

    def _retire(self, trunks: Sequence[Trunk]) -> None:
        """Keep those of `trunks` without live branches, in place of kept ones they begin with, as far as there is
        room for the most recent; forget the caches of the others."""
        live = set(self._live())
        retired = [trunk for trunk in trunks if trunk not in live]
        held = [*self._kept, *retired]
        for trunk in retired:
            self._kept = [*(other for other in self._kept if not begins_with(trunk, other.tokens)), trunk]
        while self.idle_tokens > self._kept_tokens:
            self._kept.pop(0)
        for trunk in set(held) - set(self._kept):
            trunk.cache = []


def _grown(row: _Row, own: Tensor) -> Trunk:
    """The trunk of `row` with what its branches have drawn; `own` [layers, 2, kv heads, capacity, d] is the row's."""
    drawn = np.asarray(row.branches[0].tokens[: row.drawn], dtype=np.int64)
    cache = [
        torch.cat((trunk, new[:, :, : row.drawn]), dim=2)
        for trunk, new in zip(row.trunk.cache, own, strict=True)
    ]
    return Trunk(np.concatenate((row.trunk.tokens, drawn)), [], cache)


def _length_mask(lengths: Sequence[int], cache: Tensor) -> Tensor:
    """Additive mask [rows, longest] that hides what lies beyond each row's length in `cache`."""
    ends = torch.tensor(lengths, device=cache.device)
    beyond = torch.arange(max(lengths), device=cache.device) >= ends[:, None]
    return additive_mask(beyond, dtype=cache.dtype)


def _roomy(own: Tensor, needed: int) -> Tensor:
    capacity = own.shape[4]
    if needed <= capacity:
        return own
    return torch.nn.functional.pad(own, (0, 0, 0, CAPACITY_STEP))
