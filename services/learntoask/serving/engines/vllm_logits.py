"""For vLLM's workers: requests that are made to draw given tokens, so that the probabilities of those can be read off,
and requests that may not begin with a given token.

vLLM reports log-probabilities as the model gave them, before any such rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

FORCED = "forced_tokens"
"""Key in SamplingParams.extra_args: the tokens to draw, one a step."""

BARRED = "barred_token"
"""Key in SamplingParams.extra_args: the token that must not be drawn first."""


class ForcedTokens(AdapterLogitsProcessor):
    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> _Forced | _Barred | None:
        told = params.extra_args or {}
        if told.get(FORCED):
            return _Forced(told[FORCED])
        return None if told.get(BARRED) is None else _Barred(told[BARRED])


class _Forced:
    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens

    def __call__(self, drawn: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """`logits`: [vocabulary] of the step after the tokens `drawn`."""
        forced = torch.full_like(logits, float("-inf"))
        # A step may be computed ahead, before it is known that the request has ended.
        forced[self._tokens[min(len(drawn), len(self._tokens) - 1)]] = 0.0
        return forced


class _Barred:
    def __init__(self, token: int) -> None:
        self._token = token

    def __call__(self, drawn: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        if not drawn:
            logits[self._token] = float("-inf")
        return logits
