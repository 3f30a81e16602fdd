"""An answer in a file: the format of `lta review export`, and what other formats are translated to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.records import Record
from learntoask.review.records import Answer

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class AnswerLine(Record):
    """An answer of a reviewer to an item, which is named by its digest.

    `answer` is None if the reviewer only skipped the item or commented on it. `blind` is the answer before the
    machine's votes were shown; None means that there were none to see, so that `answer` is the blind one. `repeats` is
    the item that this one asked again. `answered` is in seconds since the epoch; it is written and not read.
    """

    format: Literal[1] = 1
    item: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    reviewer: str
    answer: Answer | None
    blind: Answer | None = None
    adjudicated: bool = False
    skipped: bool = False
    seconds: Seconds = 0.0
    answered: float | None = None
    comments: tuple[str, ...] = ()
    kind: str = ""
    repeats: str | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A part of a file that was not taken. `where` is a line or a record."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The answers of a file with the places where they stand, and what could not be read."""

    answers: tuple[tuple[str, AnswerLine], ...]
    refusals: tuple[Refusal, ...]
