"""Answers under way: the branches that hang on a trunk, and how each picks its next token."""

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
BLOCK = 256


@dataclass(eq=False)
class Branch:
    """An answer being decoded after `attach` tokens of its trunk: forced, sampled (it has `numbers`) or greedy.

    `logprobs` are those of the distribution the token was drawn from: at `temperature` for a sampled branch, at 1 for
    greedy and forced ones. `ended` tells an answer that ended itself from one cut at `max_new_tokens`.

    A branch with `stop_branch`, the forced stop string, is the question beside it: it does not begin as the stop does, and
    is moot once the stop's log-probability turns out to be `cancel_above` or more.
    """

    attach: int
    max_new_tokens: int
    temperature: float = 1.0
    numbers: Uniforms | None = None
    forced: tuple[int, ...] = ()
    stop_branch: Branch | None = None
    cancel_above: float = 0.0
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False

    @property
    def greedy(self) -> bool:
        return not self.forced and self.numbers is None

    @property
    def cancelled(self) -> bool:
        stop = self.stop_branch
        return stop is not None and stop.done and sum(stop.logprobs) >= self.cancel_above

    @property
    def done(self) -> bool:
        return self.ended or self.cancelled or len(self.tokens) == (len(self.forced) or self.max_new_tokens)

    @property
    def outcome(self) -> Branch:
        """What the answer is: this branch, or the stop that made it moot."""
        return self.stop_branch if self.stop_branch is not None and self.cancelled else self


@dataclass(eq=False)
class Trunk:
    """Context tokens with the branches that hang on them; `cache` is filled when the decoder admits it.

    `shared` of its tokens were not computed then but taken over from another trunk.
    """

    tokens: NDArray[np.int64]
    branches: list[Branch]
    cache: list[Tensor] = field(default_factory=list)
    shared: int = 0


def decision_branches(
    attach: int, max_new_tokens: int, *, stop: tuple[int, ...], threshold: float | None
) -> tuple[Branch, Branch]:
    """The greedy answer and, beside it, the stop string for its probability.

    The answer is the stop where that has probability `threshold` or more, else the question that is likeliest given
    that one is asked. None lets greedy decoding decide, token by token.
    """
    forced = Branch(attach, len(stop), forced=stop)
    if threshold is None:
        return Branch(attach, max_new_tokens), forced
    return Branch(attach, max_new_tokens, stop_branch=forced, cancel_above=math.log(threshold)), forced


def choose(logits: Tensor, places: Sequence[tuple[int, Branch]]) -> tuple[list[int], list[float]]:
    """The next token of each branch and its log-probability. `logits` [rows, vocabulary]; `places` are (row, branch),
    rows ascending."""
    device = logits.device
    rows = torch.tensor([row for row, _ in places], device=device)
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
        questions = {
            i: branch.stop_branch.forced[0]
            for i, branch in group
            if branch.stop_branch is not None and not branch.tokens
        }
        if questions:
            barred = torch.tensor(list(questions.values()), device=device)
            allowed = logs[rows[list(questions)]].scatter(1, barred[:, None], float("-inf"))
            tokens[list(questions)] = allowed.argmax(dim=-1)
        every = [i for i, _ in group]
        logprobs[every] = logs[rows[every], tokens[every]]
    return tokens.tolist(), logprobs.tolist()


def uniforms(*key: object, count: int) -> Uniforms:
    """`count` numbers in [0, 1) that follow from `key` alone (a counter-based generator, keyed by its digest)."""
    digest = blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(count)


def draw(logprobs: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
    """Invert the distribution function: logprobs [b, vocabulary], rows [m] into them, numbers [m] in [0, 1) → [m].

    First the block of words, then the word in it: six times faster than summing up 50,000 words in float64, which
    float32 sums, blind to rare words, would have to be.
    """
    rest = -logprobs.shape[-1] % BLOCK
    blocks = pad(logprobs.exp(), (0, rest)).view(len(logprobs), -1, BLOCK)
    ends = blocks.sum(dim=-1).double().cumsum(dim=-1)[rows]  # [m, blocks]
    target = (numbers * ends[:, -1])[:, None]
    block = torch.searchsorted(ends, target, right=True).clamp_(max=ends.shape[1] - 1)
    end = ends.gather(1, block)
    begin = torch.where(block > 0, ends.gather(1, (block - 1).clamp(min=0)), 0.0)
    inside = blocks[rows, block[:, 0]].double().cumsum(dim=-1)  # [m, BLOCK]
    word = torch.searchsorted(inside, (target - begin) / (end - begin) * inside[:, -1:], right=True)
    return (block * BLOCK + word)[:, 0].clamp_(max=logprobs.shape[-1] - 1)
