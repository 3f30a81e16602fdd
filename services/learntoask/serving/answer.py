"""Turns the text that the model generated into a valid answer: one question or a stop.

An invalid text is repaired if it holds a question; otherwise the pack's fallback question takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from learntoask.client.types import Origin
from learntoask.core.answer import is_exact_stop
from learntoask.core.records import STOP, Message
from learntoask.core.text.characters import clean_text
from learntoask.core.text.sentences import sentences

AskingSentences = Callable[[str], tuple[str, ...]]
"""Returns the sentences of a text that ask something, none if the text is not a fluent question (`FluencyGuard`)."""


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """A valid answer; `question` is None for a stop."""

    question: str | None
    origin: Origin

    @property
    def action(self) -> Literal["ask", "stop"]:
        """What the caller is to do."""
        return "stop" if self.question is None else "ask"

    @property
    def message(self) -> Message:
        """The answer as a message of the conversation."""
        return Message(role="assistant", content=self.question or STOP, author="policy")


def answer_of(text: str, *, asking: AskingSentences, fallback: str, may_stop: bool = True) -> PolicyAnswer:
    """Return the answer for the model's output `text`.

    A text that contains the stop string among other words is a stop: the policy decided to stop, and the other words
    would contradict it. Of several questions only the first is asked, with the sentences that lead up to it, because a
    user is asked one thing at a time.
    """
    text = clean_text(text).strip()
    if STOP in text:
        if may_stop:
            return PolicyAnswer(None, "model" if is_exact_stop(text) else "repaired")
        text = text.replace(STOP, " ").strip()
    asked = asking(text)
    if len(asked) == 1:
        return PolicyAnswer(text, "model")
    cut = [text[: text.index(asked[0]) + len(asked[0])]] if asked else []
    for part in (*cut, *sentences(text)):
        if len(asking(part)) == 1:  # the shortened text must be one question without its context
            return PolicyAnswer(part, "repaired")
    return PolicyAnswer(fallback, "fallback")
