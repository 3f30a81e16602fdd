"""An engine that decodes nothing, to measure the cost of the service. It cycles through a few hundred questions."""

from __future__ import annotations

from itertools import cycle

from learntoask.core.prompt import Context
from learntoask.serving.engines.protocol import Draft, TokenUsage

_THINGS = (
    "date of birth",
    "medicine",
    "dose",
    "allergy",
    "address",
    "phone number",
    "doctor",
    "insurance",
    "pain",
    "age",
)
_WORDINGS = (
    "What is your {}?",
    "And the {}?",
    "Could you tell me the {}?",
    "Please give me your {}.",
    "Which {}, please?",
)


class NullEngine:
    stop_tokens = (1,)

    def __init__(self) -> None:
        usage = TokenUsage(prompt=180, cached=150, completion=8)
        texts = [
            f"{n} more to go. {wording.format(thing)}"
            for n in range(6)
            for wording in _WORDINGS
            for thing in _THINGS
        ]
        self._drafts = cycle([Draft(text, -4.6, usage) for text in texts])

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        return next(self._drafts)

    def cache_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        return
