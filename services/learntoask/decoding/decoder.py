"""Decode many answers at once on trees: each trunk is computed once, and its branches share its keys and values.

Two further savings are exact as well. Branches of one context that have the same tokens so far are one row of the batch
until they differ (a policy that is sure of its stop decodes it once, not G times). A trunk that begins like another one
in the cache (same system prompt, earlier turns of the same conversation) is computed from where they differ.
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
"""Tokens by which the caches of the branches grow."""


@dataclass(frozen=True, eq=False)
class _Row:
    """One row of the batch: branches with the same trunk, attach point and tokens; `token` is the last of `drawn`."""

    trunk: Trunk
    attach: int
    drawn: int
    token: int
    branches: list[Branch]


class Decoder:
    """Decodes branches of any number of trunks as one batch. Trunks may be admitted between steps.

    The decoder keeps keys and values of at most `kept_tokens` trunk tokens after their last branch is done, including
    the greedy answer, so that the next turn of a conversation continues from them. The weights of `model` must not
    change while any are kept.
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
        """Rows of the batch, each of which the next step extends by a token."""
        return len(self._rows)

    @property
    def trunk_tokens(self) -> int:
        """Tokens of the trunks that still have branches to decode."""
        return sum(len(trunk.tokens) for trunk in self._live())

    @property
    def idle_tokens(self) -> int:
        """Tokens of the trunks without branches that are kept for continuations."""
        return sum(len(trunk.tokens) for trunk in self._kept)

    def admit(self, trunks: Sequence[Trunk]) -> list[Branch]:
        """Prefill `trunks` and choose the first token of their branches. Returns the branches that are done with it."""
        done: list[Branch] = []
        with branching_attention(self._model):
            for batch in plan_prefill(trunks, [*self._live(), *self._kept]):
                done += self._prefill(batch)
        self._retire(trunks)
        return done

    def step(self) -> list[Branch]:
        """Choose one more token for every live branch. Returns the branches that are done with it."""
        if not self._rows or self._own is None:
            return []
        slots = [row.drawn - 1 for row in self._rows]
        self._own = _grow_capacity(self._own, max(slots) + 1)
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
        answered = self._answered_trunks()
        self._replace(rows, parents)
        self._retire([*before, *answered])
        return done

    def cancel(self, branch: Branch) -> None:
        """Stop decoding `branch`, whose place in the batch is free from the next step on."""
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
        for planned in batch:
            trunk, shared = planned.trunk, planned.shared
            start = len(tokens)
            trunk.shared = shared
            tokens.extend(trunk.tokens[shared:].tolist())
            positions.extend(range(shared, len(trunk.tokens)))
            segments.append(
                TrunkSegment(
                    start,
                    len(tokens),
                    planned.source.cache if planned.source else (),
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
        """Float32 logits [len(keep), vocabulary] at the positions `keep` of one packed sequence."""
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
        """Give each branch of `rows` its next token.

        Returns the rows of the next step, the index in `rows` that each of them came from, and the branches now done.
        """
        places = [(index, branch) for index, row in enumerate(rows) for branch in row.branches]
        tokens, logprobs = choose(logits, places)
        parts: dict[tuple[int, int], list[Branch]] = {}
        done = []
        for (_, branch), token, logprob in zip(places, tokens, logprobs, strict=True):
            branch.tokens.append(token)
            branch.logprobs.append(logprob)
            branch.ended = not branch.forced and token in self._ends
        for (index, branch), token in zip(
            places, tokens, strict=True
        ):  # a stop that is complete may cancel another branch
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

    def _answered_trunks(self) -> list[Trunk]:
        """The trunks whose greedy answer is just done, extended by it, from which the next turn can continue."""
        if self._own is None or not self._kept_tokens:
            return []
        return [
            _extend(row, self._own[:, :, index])
            for index, row in enumerate(self._rows)
            if row.attach == len(row.trunk.tokens)
            and any(branch.greedy and branch.done for branch in row.branches)
        ]

    def _live(self) -> list[Trunk]:
        return list(dict.fromkeys(row.trunk for row in self._rows))

    def _retire(self, trunks: Sequence[Trunk]) -> None:
        """Keep the caches of those `trunks` that have no live branches; drop the oldest where there is no room.

        A kept trunk that is a prefix of a new one is replaced by it.
        """
        live = set(self._live())
        retired = [trunk for trunk in trunks if trunk not in live]
        held = [*self._kept, *retired]
        for trunk in retired:
            self._kept = [*(other for other in self._kept if not begins_with(trunk, other.tokens)), trunk]
        while self.idle_tokens > self._kept_tokens:
            self._kept.pop(0)
        for trunk in set(held) - set(self._kept):
            trunk.cache = []


def _extend(row: _Row, own: Tensor) -> Trunk:
    """The trunk of `row` extended by its tokens; `own` [layers, 2, kv heads, capacity, d] is the row's cache."""
    drawn = np.asarray(row.branches[0].tokens[: row.drawn], dtype=np.int64)
    cache = [
        torch.cat((trunk, new[:, :, : row.drawn]), dim=2)
        for trunk, new in zip(row.trunk.cache, own, strict=True)
    ]
    return Trunk(np.concatenate((row.trunk.tokens, drawn)), [], cache)


def _length_mask(lengths: Sequence[int], cache: Tensor) -> Tensor:
    """Additive mask [rows, longest] that hides what lies beyond the length of each row, in the dtype of `cache`."""
    ends = torch.tensor(lengths, device=cache.device)
    beyond = torch.arange(max(lengths), device=cache.device) >= ends[:, None]
    return additive_mask(beyond, dtype=cache.dtype)


def _grow_capacity(own: Tensor, needed: int) -> Tensor:
    """Pad the branches' cache by CAPACITY_STEP slots where it has fewer than `needed`."""
    capacity = own.shape[4]
    if needed <= capacity:
        return own
    return torch.nn.functional.pad(own, (0, 0, 0, CAPACITY_STEP))
