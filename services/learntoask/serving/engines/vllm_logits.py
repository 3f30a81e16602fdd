"""A logits processor for vLLM's workers: forces a request to draw given tokens, or forbids its first token.

Forcing tokens gives their probabilities, because vLLM reports log-probabilities as the model computed them, before any
logits processor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

FORCED = "forced_tokens"
"""Key in SamplingParams.extra_args: the tokens to draw, one per step."""

FORBIDDEN = "forbidden_token"
"""Key in SamplingParams.extra_args: the token that must not be drawn first."""


class ForcedTokens(AdapterLogitsProcessor):
    """vLLM's entry point: makes the processor of each request from its extra_args."""

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> _Forced | _Forbidden | None:
        arguments = params.extra_args or {}
        if arguments.get(FORCED):
            return _Forced(arguments[FORCED])
        return None if arguments.get(FORBIDDEN) is None else _Forbidden(arguments[FORBIDDEN])


class _Forced:
    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens

    def __call__(self, drawn: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """Allow only the next forced token. `logits` [vocabulary] belong to the step after the tokens `drawn`."""
        forced = torch.full_like(logits, float("-inf"))
        # vLLM may compute a step before it knows that the request has ended.
        forced[self._tokens[min(len(drawn), len(self._tokens) - 1)]] = 0.0
        return forced


class _Forbidden:
    def __init__(self, token: int) -> None:
        self._token = token

    def __call__(self, drawn: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        if not drawn:
            logits[self._token] = float("-inf")
        return logits
