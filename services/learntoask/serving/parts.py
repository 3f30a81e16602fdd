"""What a server serves."""

from __future__ import annotations

from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.serving.engines.protocol import Engine


@dataclass(frozen=True, kw_only=True)
class Parts:
    """`revision` names the policy in every decision, `shape` is what weights that take its place must have."""

    engine: Engine
    pack: Pack
    revision: str
    shape: str
