"""Which policy the grpo stage published, and why; later stages, the report and commands say so."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from learntoask.core.records import Record

_FILE = "choice.json"


class PolicyChoice(Record):
    """The published policy. `reason` is a sentence for a person."""

    policy: Literal["sft", "grpo"]
    reason: str


def publish_choice(out: Path, choice: PolicyChoice) -> None:
    """Write `choice` into the output folder of the grpo stage."""
    (out / _FILE).write_text(choice.model_dump_json(indent=1) + "\n", encoding="utf-8")


def published_choice(folder: Path) -> PolicyChoice | None:
    """Return the choice that was published in `folder`, None for another stage."""
    path = folder / _FILE
    return PolicyChoice.model_validate_json(path.read_bytes()) if path.exists() else None
