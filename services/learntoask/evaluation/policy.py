"""The seam between evaluation and whatever decodes a policy: two calls, so that tests need no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from learntoask.core.records import LabelledSession, Message
from learntoask.evaluation.decisions import Answered

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Dialogue:
    """A conversation the policy is to go on with: its id, its task, and every message so far."""

    session: str
    task: str
    goal: str | None
    messages: tuple[Message, ...]


class PolicyUnderTest(Protocol):
    def decide(
        self, sessions: Sequence[LabelledSession], *, samples: int, temperature: float, seed: int, told: Told
    ) -> list[Answered]:
        """One greedy and `samples` sampled answers at every labelled decision point."""

    def reply(self, dialogues: Sequence[Dialogue], *, seed: int) -> list[str]:
        """One greedy answer per dialogue, in order."""


Opener = Callable[[Path], PolicyUnderTest]
"""Loads the policy in a folder."""
