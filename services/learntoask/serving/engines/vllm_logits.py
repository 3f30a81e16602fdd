"""A logits processor for vLLM's workers: forces a request to draw given tokens, or bars beginnings of its answer.

Forcing tokens gives their probabilities, because vLLM reports log-probabilities as the model computed them, before any
logits processor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from learntoask.decoding.branch import barred_after

FORCED = "forced_tokens"
"""Key in SamplingParams.extra_args: the tokens to draw, one per step."""

BARRED = "barred_beginnings"
"""Key in SamplingParams.extra_args: token sequences with which the answer must not begin."""


class ForcedTokens(AdapterLogitsProcessor):
    """vLLM's entry point: makes the processor of each request from its extra_args."""

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> _Forced | _Barred | None:
        arguments = params.extra_args or {}
        if arguments.get(FORCED):
            return _Forced(arguments[FORCED])
        return _Barred(arguments[BARRED]) if arguments.get(BARRED) else None


class _Forced:
    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens

    def __call__(self, drawn: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """Allow only the next forced token. `logits` [vocabulary] belong to the step after the tokens `drawn`."""
        forced = torch.full_like(logits, float("-inf"))
        # vLLM may compute a step before it knows that the request has ended.
        forced[self._tokens[min(len(drawn), len(self._tokens) - 1)]] = 0.0
        return forced


class _Barred:
    def __init__(self, beginnings: Sequence[Sequence[int]]) -> None:
        self._beginnings = beginnings

    def __call__(self, drawn: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        for token in barred_after(drawn, self._beginnings):
            logits[token] = float("-inf")
        return logits
