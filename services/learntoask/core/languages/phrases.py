"""What the phrases of one language are for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """Regular expressions of one language, searched in plain texts without regard to case.

    `questions` find a request in a sentence without a question mark, `refusals` an apology or a refusal, `non_answers`
    a reply that answers nothing ("I don't know"), `small_talk` a question that asks for no field ("How can I help?",
    "Is that correct?"), and `handoffs` an expert who hands the conversation to another person.
    """

    questions: tuple[str, ...]
    refusals: tuple[str, ...] = ()
    non_answers: tuple[str, ...] = ()
    small_talk: tuple[str, ...] = ()
    handoffs: tuple[str, ...] = ()
