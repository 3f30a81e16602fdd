"""The interface between evaluation and a policy. It has two methods, so tests can evaluate without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from learntoask.core.records import LabelledSession, Message
from learntoask.core.stages.contract import ProgressCallback
from learntoask.evaluation.decisions import UngradedDecision


@dataclass(frozen=True)
class Dialogue:
    """A conversation that the policy continues: session id, task, goal, and all messages so far."""

    session: str
    task: str
    goal: str | None
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Reply:
    """What the policy answers, and its greedy answer `draft`, which may have been a repeated question."""

    text: str
    draft: str


class PolicyUnderTest(Protocol):
    def decide(
        self,
        sessions: Sequence[LabelledSession],
        *,
        samples: int,
        temperature: float,
        seed: int,
        progress: ProgressCallback,
    ) -> list[UngradedDecision]:
        """Return one greedy and `samples` sampled answers for every labelled decision point."""

    def reply(self, dialogues: Sequence[Dialogue]) -> list[Reply]:
        """Return one greedy answer per dialogue, in order, as the server would give it."""


PolicyLoader = Callable[[Path], PolicyUnderTest]
"""Loads the policy from a model folder."""
