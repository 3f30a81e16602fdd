"""The interface between the decider and an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from learntoask.core.assessment import MissingField
from learntoask.core.prompt import Context


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Numbers of tokens. `cached` tokens of the prompt had their keys and values in memory."""

    prompt: int
    cached: int
    completion: int


@dataclass(frozen=True, slots=True)
class Draft:
    """The text that the model generated, before it is checked.

    `text` and `malformed` are those of `core.assessment.AssessedAnswer`, and `missing` is what it names. `stop_logprob`
    is the natural log of the probability that the answer is exactly the stop string and its end token. `logprobs` are
    those of `tokens`, the answer's own.
    """

    text: str
    stop_logprob: float
    usage: TokenUsage
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    missing: tuple[MissingField, ...] = ()
    malformed: bool = False


class Engine(Protocol):
    """Decodes answers for many contexts at once. It has no deadlines: cancelling a call frees what the call holds."""

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """The tokens of the whole stop string."""

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        """Decode the answer to `context` that begins with none of the token sequences `barred`.

        Raises InputError for a context that the policy cannot read. Any other exception is a fault of the engine.
        """

    def cache_bytes(self) -> int:
        """Return the memory of keys and values kept between calls."""

    async def with_weights(self, folder: Path) -> Self:
        """Return an engine with the weights of `folder`; this one must not be used afterwards, even after an exception.

        The folder has the same `weights_shape`, and no decision runs during the call.
        """

    async def close(self) -> None:
        """Stop at once; running calls fail."""
