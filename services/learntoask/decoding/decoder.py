"""Decode many answers at once on trees: each trunk is computed once, and its branches share its keys and values.

Three further savings are exact as well. Branches of one context that have the same tokens so far are one row of the
batch until they differ (a policy that is sure of its stop decodes it once, not G times). A trunk that begins like one
in the cache (same system prompt, earlier turns of the same conversation) is computed from where they differ. A step
with few rows computes several tokens of a row where they are known or can be guessed (`decoding.drafts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

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
from learntoask.decoding.drafts import EarlierAnswers, ahead
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
    change while any are kept. Greedy answers are guessed from `earlier` ones, to which they are added when they end.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        ends: frozenset[int],
        kept_tokens: int = 0,
        earlier: EarlierAnswers | None = None,
    ) -> None:
        self.model = model
        self._ends = ends
        self._kept_tokens = kept_tokens
        self._earlier = earlier
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
        with branching_attention(self.model):
            for batch in plan_prefill(trunks, [*self._live(), *self._kept]):
                done += self._prefill(batch)
        self._retire(trunks)
        return done

    def step(self) -> list[Branch]:
        """Choose one more token for every live branch, or several. Returns the branches that are done with them."""
        if not self._rows or self._own is None:
            return []
        drafts = ahead([row.branches for row in self._rows], self._earlier)
        fed = [(row.token, *draft) for row, draft in zip(self._rows, drafts, strict=True)]
        places = [place for tokens in fed for place in range(len(tokens))]
        rows = [index for index, tokens in enumerate(fed) for _ in tokens]
        slots = [self._rows[row].drawn - 1 + place for row, place in zip(rows, places, strict=True)]
        self._own = _grow_capacity(self._own, max(slots) + 1)
        device = self._own.device
        plan = StepAttention(
            groups=list(self._groups(fed)),
            own=self._own,
            rows=torch.tensor(rows, device=device),
            places=torch.tensor(places, device=device),
            slots=torch.tensor(slots, device=device),
            most=max(places) + 1,
            longest=max(slots),
            mask=self._own_mask(fed, self._own),
        )
        with branching_attention(self.model):
            logits = self._logits(
                [token for tokens in fed for token in tokens],
                [self._rows[row].attach + slot for row, slot in zip(rows, slots, strict=True)],
                plan,
                keep=range(len(slots)),
            )
            before = self._live()
            grown, parents, done = self._advance(logits, self._rows, drafts)
        answered = self._answered_trunks()
        self._replace(grown, parents)
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
        rows, _, done = self._advance(logits, rows, [()] * len(rows))
        self._append(rows)
        return done

    def _logits(
        self, tokens: Sequence[int], positions: Sequence[int], plan: AttentionPlan, *, keep: Sequence[int]
    ) -> Tensor:
        """Float32 logits [len(keep), vocabulary] at the positions `keep` of one packed sequence."""
        device = self.model.device
        output = self.model(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(list(keep), device=device),
            attention_plan=plan,
        )
        logits: Tensor = output.logits[0].float()
        return logits

    def _advance(
        self, logits: Tensor, rows: Sequence[_Row], drafts: Sequence[tuple[int, ...]]
    ) -> tuple[list[_Row], list[int], list[Branch]]:
        """Give each branch of `rows` its next token, and further ones as long as they are those of its row's draft.

        `logits` has 1 + len(draft) positions for each row. Returns the rows of the next step, the index in `rows` that
        each of them came from, and the branches now done.
        """
        starts = list(accumulate((1 + len(draft) for draft in drafts), initial=0))
        every = [(index, branch) for index, row in enumerate(rows) for branch in row.branches]
        ahead, waiting = 0, every
        while waiting:
            places = [(starts[index] + ahead, branch) for index, branch in waiting]
            tokens, logprobs = choose(logits, places)
            for (_, branch), token, logprob in zip(places, tokens, logprobs, strict=True):
                branch.tokens.append(token)
                branch.logprobs.append(logprob)
                branch.ended = not branch.forced and token in self._ends
            waiting = [
                (index, branch)
                for index, branch in waiting
                if drafts[index][ahead : ahead + 1] == (branch.tokens[-1],) and not branch.done
            ]
            ahead += 1
        parts: dict[tuple[int, int], list[Branch]] = {}
        done = []
        for index, branch in every:  # a stop that is complete may cancel another branch
            if branch.done:
                done.append(branch)
                if self._earlier is not None and branch.greedy and branch.ended:
                    self._earlier.remember(branch.tokens)
            else:
                parts.setdefault((index, branch.tokens[-1]), []).append(branch)
        grown = [
            _Row(rows[index].trunk, rows[index].attach, len(branches[0].tokens), token, branches)
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

    def _groups(self, fed: Sequence[Sequence[int]]) -> Iterator[TrunkGroup]:
        """Yield the groups of the tokens `fed` to each row."""
        begin = end = start = 0
        while start < len(self._rows):
            trunk = self._rows[start].trunk
            stop = start
            while stop < len(self._rows) and self._rows[stop].trunk is trunk:
                end += len(fed[stop])
                stop += 1
            lengths = [
                row.attach
                for row, tokens in zip(self._rows[start:stop], fed[start:stop], strict=True)
                for _ in tokens
            ]
            mask = None
            if min(lengths) < max(lengths):
                mask = _length_mask(lengths * self._fold(trunk), trunk.cache[0])[None, None]
            yield TrunkGroup(begin, end, trunk.cache, max(lengths), mask)
            start, begin = stop, end

    def _own_mask(self, fed: Sequence[Sequence[int]], own: Tensor) -> Tensor | None:
        """Return what hides later tokens from each new one (see `StepAttention`), None if there is nothing to hide."""
        most = max(map(len, fed))
        lengths = [
            [row.drawn + min(place, len(tokens) - 1) for place in range(most)]
            for row, tokens in zip(self._rows, fed, strict=True)
        ]
        flat = [length for of_row in lengths for length in of_row * self._fold(self._rows[0].trunk)]
        if min(flat) == max(flat):
            return None
        mask = _length_mask(flat, own)
        return mask.view(len(fed), 1, -1, mask.shape[1])

    def _fold(self, trunk: Trunk) -> int:
        heads: int = self.model.config.num_attention_heads
        return heads // trunk.cache[0].shape[1]

    def _answered_trunks(self) -> list[Trunk]:
        """The trunks whose greedy answer is just done, extended by it, from which the next turn can continue."""
        if self._own is None or not self._kept_tokens:
            return []
        return [
            _extend(row, branch, self._own[:, :, index])
            for index, row in enumerate(self._rows)
            if row.attach == len(row.trunk.tokens)
            for branch in row.branches
            if branch.greedy and branch.done
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


def _extend(row: _Row, branch: Branch, own: Tensor) -> Trunk:
    """The trunk of `row` extended by a branch of it, but for its last token, which no step has computed.

    `own` [layers, 2, kv heads, capacity, d] is the row's cache.
    """
    drawn = np.asarray(branch.tokens[:-1], dtype=np.int64)
    cache = [
        torch.cat((trunk, new[:, :, : len(drawn)]), dim=2)
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
