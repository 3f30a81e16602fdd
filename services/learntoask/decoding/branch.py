"""Branches, the answers being decoded on a trunk, and how each chooses its next token.

A sampled token is drawn with random numbers that belong to its branch, not to the batch: every answer has a stream of
uniforms keyed by what it is (seed, session, turn, index), so the order and company of decoding do not change it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

Uniforms = NDArray[np.float64]
BLOCK = 256  # tokens of the vocabulary that are summed up first


@dataclass(eq=False)
class Branch:
    """An answer being decoded after the first `attach` tokens of its trunk.

    It is forced to `forced`, sampled with `numbers` at `temperature`, or greedy if it has neither. `logprobs` has one
    value a token, of the distribution it was drawn from: at `temperature` if sampled, at 1 otherwise. `ended` tells an
    answer that ended itself from one that was cut at `max_new_tokens`.

    A greedy answer begins with none of the token sequences `barred`. With `stop_branch` the branch is speculative: the
    question is decoded in parallel with the forced stop string, and cancelled when log p(stop) reaches `cancel_above`.
    """

    attach: int
    max_new_tokens: int
    temperature: float = 1.0
    numbers: Uniforms | None = None
    forced: tuple[int, ...] = ()
    barred: tuple[tuple[int, ...], ...] = ()
    stop_branch: Branch | None = None
    cancel_above: float = 0.0
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False

    @property
    def greedy(self) -> bool:
        """Whether each token is the likeliest one."""
        return not self.forced and self.numbers is None

    @property
    def barred_next(self) -> tuple[int, ...]:
        """The tokens that may not come next."""
        return barred_after(self.tokens, self.barred)

    @property
    def cancelled(self) -> bool:
        """Whether the stop has turned out probable enough, so that this question is not asked."""
        stop = self.stop_branch
        return stop is not None and stop.done and sum(stop.logprobs) >= self.cancel_above

    @property
    def done(self) -> bool:
        """Whether no further token is to be decoded."""
        return self.ended or self.cancelled or len(self.tokens) == (len(self.forced) or self.max_new_tokens)

    @property
    def outcome(self) -> Branch:
        """The branch that holds the answer: this one, or the stop that cancelled it."""
        return self.stop_branch if self.stop_branch is not None and self.cancelled else self


@dataclass(eq=False)
class Trunk:
    """Context tokens [n] and the branches that continue them.

    When the decoder admits the trunk it fills `cache`, one [2, kv heads, n, d] per layer, and sets `shared`, the number
    of tokens whose keys and values were copied from another trunk.
    """

    tokens: NDArray[np.int64]
    branches: list[Branch]
    cache: list[Tensor] = field(default_factory=list)
    shared: int = 0


def decision_branches(
    attach: int,
    max_new_tokens: int,
    *,
    stop: tuple[int, ...],
    stop_beginning: tuple[int, ...],
    threshold: float | None,
    barred: tuple[tuple[int, ...], ...] = (),
) -> tuple[Branch, Branch]:
    """Return the branches of one decision: the greedy answer, and the forced stop string for its probability.

    The answer (`Branch.outcome`) is the stop if its probability is at least `threshold`, else the greedy question. With
    None greedy decoding decides, token by token. The question begins with none of the token sequences `barred`, nor
    with `stop_beginning` where a threshold decides.
    """
    forced = Branch(attach, len(stop), forced=stop)
    if threshold is None:
        return Branch(attach, max_new_tokens, barred=barred), forced
    question = Branch(
        attach,
        max_new_tokens,
        barred=(stop_beginning, *barred),
        stop_branch=forced,
        cancel_above=math.log(threshold),
    )
    return question, forced


def barred_after(tokens: Sequence[int], barred: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the tokens that would make `tokens` one of the beginnings `barred`."""
    drawn = len(tokens)
    return tuple(
        beginning[-1]
        for beginning in barred
        if len(beginning) == drawn + 1 and list(beginning[:-1]) == list(tokens)
    )


def choose(logits: Tensor, places: Sequence[tuple[int, Branch]]) -> tuple[list[int], list[float]]:
    """Return the next token of each branch and its log-probability.

    `logits` is [rows, vocabulary]; `places` are (row of the logits, branch), rows ascending.
    """
    device = logits.device
    used = {row: index for index, row in enumerate(dict.fromkeys(row for row, _ in places))}
    if len(used) < len(logits):
        logits = logits[list(used)]
    rows = torch.tensor([used[row] for row, _ in places], device=device)
    tokens = torch.empty(len(places), dtype=torch.long, device=device)
    logprobs = torch.empty(len(places), device=device)
    for temperature in sorted({branch.temperature for _, branch in places}):
        logs = torch.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)
        group = [(i, branch) for i, (_, branch) in enumerate(places) if branch.temperature == temperature]
        sampled = {i: branch.numbers[len(branch.tokens)] for i, branch in group if branch.numbers is not None}
        forced = {i: branch.forced[len(branch.tokens)] for i, branch in group if branch.forced}
        greedy = [i for i, _ in group if i not in sampled and i not in forced]
        if sampled:
            numbers = torch.tensor(list(sampled.values()), dtype=torch.float64, device=device)
            tokens[list(sampled)] = draw(logs, rows[list(sampled)], numbers)
        if forced:
            tokens[list(forced)] = torch.tensor(list(forced.values()), device=device)
        if greedy:
            tokens[greedy] = logs.argmax(dim=-1)[rows[greedy]]
        for i, branch in group:
            if branch.greedy and (barred := branch.barred_next):
                tokens[i] = (
                    logs[rows[i]].index_fill(0, torch.tensor(barred, device=device), -torch.inf).argmax()
                )
        every = [i for i, _ in group]
        logprobs[every] = logs[rows[every], tokens[every]]
    return tokens.tolist(), logprobs.tolist()


def uniforms(*key: object, count: int) -> Uniforms:
    """Return `count` numbers in [0, 1) that follow from `key` alone (Philox, keyed by the digest of `key`)."""
    digest = blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(count)


def draw(logprobs: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
    """Draw a token for each of m numbers by inverting the cumulative distribution of its row.

    `logprobs` is [b, vocabulary]; `rows` [m] are indices into it; `numbers` [m] are in [0, 1). Returns tokens [m].

    First the block of BLOCK tokens is found, then the token in it. That is six times as fast as a cumulative sum over
    50,000 tokens, which would have to be in float64, because float32 loses rare tokens.
    """
    rest = -logprobs.shape[-1] % BLOCK
    blocks = pad(logprobs.exp(), (0, rest)).view(len(logprobs), -1, BLOCK)
    ends = blocks.sum(dim=-1).double().cumsum(dim=-1)[rows]  # [m, blocks]
    target = (numbers * ends[:, -1])[:, None]
    block = torch.searchsorted(ends, target, right=True).clamp_(max=ends.shape[1] - 1)
    end = ends.gather(1, block)
    begin = torch.where(block > 0, ends.gather(1, (block - 1).clamp(min=0)), 0.0)
    inside = blocks[rows, block[:, 0]].double().cumsum(dim=-1)  # [m, BLOCK]
    inner = torch.searchsorted(inside, (target - begin) / (end - begin) * inside[:, -1:], right=True)
    return (block * BLOCK + inner)[:, 0].clamp_(max=logprobs.shape[-1] - 1)
