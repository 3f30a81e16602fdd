"""An engine that decodes nothing, for what the service itself costs."""

from __future__ import annotations

from learntoask.serving.engine import Context, Draft, Usage

_DRAFT = Draft("What is your date of birth?", -4.6, Usage(prompt=180, cached=150, completion=8))


class NullEngine:
    async def decide(self, context: Context) -> Draft:
        return _DRAFT

    def cache_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        return
