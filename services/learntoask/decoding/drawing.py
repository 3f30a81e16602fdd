"""How a sampled token is chosen: from random numbers that belong to the completion, not to the batch.

Every completion owns a stream of uniforms keyed by what it is (session, turn, index), so the order and company in
which completions are decoded do not change them.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

Uniforms = NDArray[np.float64]
BLOCK = 256


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
