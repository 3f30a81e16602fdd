"""What a server serves, and how it is loaded from disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from learntoask.core.pack import Pack, load_pack
from learntoask.serving.config import ServeConfig
from learntoask.serving.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Parts:
    """`is_question` is the pack's fluency guard, bound. Benchmarks bring another engine."""

    engine: Engine
    pack: Pack
    revision: str
    is_question: Callable[[str], bool]


def load_parts(config: ServeConfig) -> Parts:
    """The trained policy behind the transformers engine. Raises InputError for an unreadable pack or model."""
    from learntoask.grading.fluency import fluency_guard
    from learntoask.serving.transformers_engine import load_engine

    pack = load_pack(config.pack)
    return Parts(
        engine=load_engine(config, pack),
        pack=pack,
        revision=model_digest(config.model),
        is_question=fluency_guard(pack),
    )
