"""How many tokens a row holds; out of memory in a training step: smaller rows, then a stop that says what to change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar, cast

import torch

from learntoask.core.errors import StageError
from learntoask.training.optim.learner import Learner

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SMALLEST = 512  # smaller rows hold hardly more than a session, which is never cut


def row_tokens(wanted: int | None, device: torch.device) -> int:
    """`wanted`, or what suits `device`: a GPU is idle between small rows (a third of the time an update at 8,192)."""
    return wanted or (8192 if device.type == "cuda" else 1024)


class TokenBudget:
    """Tokens of a row; halved for the rest of the run when a step does not fit into memory."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._least = max(1, min(_SMALLEST, tokens // 2))

    def attempt(self, compute: Callable[[int], Result], updating: Learner) -> Result:
        """`compute(tokens)`, which must change nothing but gradients.

        All workers repeat what did not fit on one of them. Raises StageError when the smallest rows, half the first
        ones at most, do not fit either, or the step cannot be repeated.
        """
        while True:
            result, error = self._try(compute)
            if updating.repeats:
                failed = bool(updating.workers.all_reduce([float(error is not None)])[0])
            else:
                failed = error is not None  # the others may be anywhere within the step
            if not failed:
                return cast(Result, result)
            if self.tokens <= self._least or not updating.repeats:
                raise StageError(
                    f"out of memory in a training step, with rows of {self.tokens} tokens. Lower spec.train.rowTokens "
                    "(a session is never cut, so maxPromptTokens bounds a row from below), set "
                    "spec.train.activationCheckpointing, or divide the state with spec.train.distributed.zero",
                    reason="OutOfMemory",
                ) from error
            updating.discard()
            self.tokens //= 2
            logger.warning("out of memory in a training step: rows now hold %d tokens", self.tokens)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _try(self, compute: Callable[[int], Result]) -> tuple[Result | None, Exception | None]:
        try:
            return compute(self.tokens), None
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            # Without its frames, which hold the activations of the step.
            return None, error.with_traceback(None)


def out_of_memory(error: Exception) -> bool:
    """Whether memory was what lacked; a CPU's allocator says so in words only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
