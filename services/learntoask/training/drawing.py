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

Uniforms = NDArray[np.float64]


def uniforms(*key: object, count: int) -> Uniforms:
    """`count` numbers in [0, 1) that follow from `key` alone (a counter-based generator, keyed by its digest)."""
    digest = blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(count)


def draw(logprobs: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
    """Invert the distribution function: logprobs [b, vocabulary], rows [m] into them, numbers [m] in [0, 1) → [m].

    Summed in float64: in float32 the sums over 50,000 words would swallow rare ones.
    """
    cumulated = logprobs.double().exp_().cumsum_(dim=-1)
    order = torch.arange(len(rows), device=rows.device)
    first = torch.searchsorted(rows, rows)  # rows ascend, so this counts each row's numbers from zero
    asked = numbers.new_zeros(len(logprobs), int((order - first).max()) + 1)
    asked[rows, order - first] = numbers
    tokens = torch.searchsorted(cumulated, asked * cumulated[:, -1:], right=True)
    return tokens.clamp_(max=logprobs.shape[-1] - 1)[rows, order - first]
