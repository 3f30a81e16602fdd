"""How many tokens a micro-batch may hold.

On out of memory the budget halves and the update is computed again; at the minimum the stage stops with a message that
names the settings to change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar, cast

import torch

from learntoask.core.errors import StageError
from learntoask.training.optim.learner import Learner

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SMALLEST = 512  # a session is never cut, and below this a micro-batch would hold hardly more than one


def row_tokens(wanted: int | None, device: torch.device) -> int:
    """Return `spec.train.rowTokens` if it is set, else the default of `device`.

    A GPU idles between small micro-batches: with 8,192 tokens an update takes a third of the time that 1,024 take.
    """
    return wanted or (8192 if device.type == "cuda" else 1024)


class TokenBudget:
    """Tokens of a micro-batch, halved for the rest of the run when an update does not fit into memory."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._least = max(1, min(_SMALLEST, tokens // 2))

    def attempt(self, compute: Callable[[int], Result], learner: Learner) -> Result:
        """Return `compute(tokens)`, called again with half the tokens while memory does not suffice.

        `compute` must change nothing but gradients. When one worker runs out of memory, all of them compute again.
        Raises StageError (OutOfMemory) when the smallest micro-batches (at most half the first ones) do not fit either,
        or when `learner` cannot repeat an update.
        """
        while True:
            result, error = self._try(compute)
            if learner.can_retry:
                failed = bool(learner.workers.all_reduce([float(error is not None)])[0])
            else:
                # The other workers are at unknown points of the update, so nothing can be exchanged.
                failed = error is not None
            if not failed:
                return cast(Result, result)
            if self.tokens <= self._least or not learner.can_retry:
                raise StageError(
                    f"out of memory in a training step, with {self.tokens} packed tokens. Lower spec.train.rowTokens "
                    "(a session is never cut, so spec.train.maxPromptTokens is a lower bound), set "
                    "spec.train.activationCheckpointing, or divide the state with spec.train.distributed.zero",
                    reason="OutOfMemory",
                ) from error
            learner.discard_gradients()
            self.tokens //= 2
            logger.warning("out of memory in a training step: now at most %d packed tokens", self.tokens)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _try(self, compute: Callable[[int], Result]) -> tuple[Result | None, Exception | None]:
        try:
            return compute(self.tokens), None
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            # The frames of the traceback would keep the activations of the failed step alive.
            return None, error.with_traceback(None)


def out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out. The CPU allocator of torch tells so in the message of a RuntimeError only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
