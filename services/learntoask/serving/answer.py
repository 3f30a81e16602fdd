"""What the caller gets for what the model said: one question, or a stop; repaired once, else the pack's fallback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from learntoask.core.answer import is_exact_stop
from learntoask.core.records import STOP, Message
from learntoask.grading.fluency import sentences

Origin = Literal["model", "repaired", "fallback", "no_server"]
"""As in ask.proto; `no_server` comes from a gateway alone."""
Asking = Callable[[str], tuple[str, ...]]
"""The sentences of a text that ask something, none where the text is no fluent question: the guard of the reward."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`question` is None for a stop."""

    question: str | None
    origin: Origin

    @property
    def action(self) -> Literal["ask", "stop"]:
        return "stop" if self.question is None else "ask"

    @property
    def message(self) -> Message:
        """The answer as a message of the conversation."""
        return Message(role="assistant", content=self.question or STOP, author="policy")


def answer_of(text: str, *, asking: Asking, fallback: str, may_stop: bool = True) -> Answer:
    """The answer in the model's output `text`.

    A stop among other words is a stop: the policy decided so, and its words would contradict it. Of several questions
    the first one counts, with what leads up to it: a user is asked one thing at a time.
    """
    text = text.strip()
    if STOP in text:
        if may_stop:
            return Answer(None, "model" if is_exact_stop(text) else "repaired")
        text = text.replace(STOP, " ").strip()
    asked = asking(text)
    if len(asked) == 1:
        return Answer(text, "model")
    cut = [text[: text.index(asked[0]) + len(asked[0])]] if asked else []
    for part in (*cut, *sentences(text)):
        if len(asking(part)) == 1:  # what is left must be a question by itself
            return Answer(part, "repaired")
    return Answer(fallback, "fallback")
