"""Cues of requests without a question mark that a run learned from its labels (see `learned_cues`).

The stage grader publishes them in cues.json beside each grader, whose digest covers them, and the stage GRPO beside the
policy. So rewards, figures and the policy server tell questions from other texts by the same cues.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from learntoask.core.text.words import words

CUES_FILE = "cues.json"
Place = Literal["is", "begins", "ends"]


@dataclass(frozen=True, slots=True)
class Cue:
    """What a request is, or how it begins or ends, with what it was learned from."""

    place: Place
    words: tuple[str, ...]
    sessions: int  # with a request that has it
    fields: int  # for which one of these requests asks alone
    others: int  # sentences that have it and ask nothing

    def match(self, said: Sequence[str]) -> bool:
        """Whether the words of a sentence are these, or begin or end with these and say more."""
        if self.place == "is":
            return said == self.words
        size = len(self.words)
        return len(said) > size and (said[:size] if self.place == "begins" else said[-size:]) == self.words


@dataclass(frozen=True)
class LearnedCues:
    """The cues of a run. A sentence asks if it has one of them."""

    cues: tuple[Cue, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.cues)

    def match(self, sentence: str) -> bool:
        """Whether the sentence has a cue."""
        said = words(sentence)
        return any(cue.match(said) for cue in self.cues)

    def records(self) -> list[JsonValue]:
        """Return the cues as plain values."""
        return [{**asdict(cue), "words": list(cue.words)} for cue in self.cues]


NO_CUES = LearnedCues()


def write_cues(folder: Path, cues: LearnedCues) -> None:
    """Write cues.json into `folder`, if there are any cues."""
    if cues:
        text = json.dumps(cues.records(), indent=1, ensure_ascii=False)
        (folder / CUES_FILE).write_text(text + "\n", encoding="utf-8")


def read_cues(folder: Path) -> LearnedCues:
    """Return the cues in `folder`, none without a cues.json. Raises OSError, ValueError, KeyError and TypeError."""
    path = folder / CUES_FILE
    if not path.exists():
        return NO_CUES
    found = json.loads(path.read_bytes())
    return LearnedCues(tuple(Cue(**{**cue, "words": tuple(cue["words"])}) for cue in found))
