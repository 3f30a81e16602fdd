"""What the phrases of one language are for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """Regular expressions of one language, searched in plain texts without regard to case.

    `questions` find a request in a sentence without a question mark, `refusals` an apology or a refusal, and
    `non_answers` a reply that answers nothing ("I don't know").
    """

    questions: tuple[str, ...]
    refusals: tuple[str, ...] = ()
    non_answers: tuple[str, ...] = ()
