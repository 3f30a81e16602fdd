"""The seam between the service and whatever decodes: transformers or vLLM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from learntoask.core.prompt import Context


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `cached` are those of the prompt whose keys and values were at hand."""

    prompt: int
    cached: int
    completion: int


@dataclass(frozen=True, slots=True)
class Draft:
    """The policy's answer as the model gave it, not yet validated.

    `stop_logprob` is the natural log of the probability that the answer is exactly the stop string, end included.
    """

    text: str
    stop_logprob: float
    usage: Usage


class Engine(Protocol):
    """Decides for many contexts at once. Deadlines are the caller's: cancelling a call frees what it holds."""

    async def decide(self, context: Context) -> Draft:
        """Raises InputError for a context the policy cannot read; any other exception is a fault of the engine."""

    def cache_bytes(self) -> int:
        """Memory held for keys and values between calls."""

    async def reloaded(self, folder: Path) -> Self:
        """The engine with the weights of `folder`, which have the shape of its own; this one is given up. Nothing is
        being decided meanwhile. After an exception neither may be used."""

    async def close(self) -> None:
        """Stop at once; calls that still run fail."""
