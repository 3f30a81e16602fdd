"""What the caller gets for what the model said: one question, or a stop; repaired once, else the pack's fallback."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from learntoask.core.answer import is_exact_stop
from learntoask.core.records import STOP, Message

Origin = Literal["model", "repaired", "fallback"]

_MARK = re.compile(r"[?？؟]+[\"'”’)\]]*")
_SENTENCE_END = re.compile(r"[.!?。！？؟]+[\"'”’)\]]*\s+|\n+")


@dataclass(frozen=True, slots=True)
class Answer:
    """`question` is None for a stop."""

    question: str | None
    origin: Origin

    @property
    def message(self) -> Message:
        """The answer as a message of the conversation."""
        return Message(role="assistant", content=self.question or STOP, author="policy")


def answer_of(
    text: str, *, is_question: Callable[[str], bool], fallback: str, may_stop: bool = True
) -> Answer:
    """The answer in the model's output `text`.

    A stop among other words is a stop (the policy decided so; its words would contradict it). Of several questions
    the first one counts: a caller shows one at a time. `is_question` is the fluency guard that graded the training.
    """
    text = text.strip()
    if may_stop and STOP in text:
        return Answer(None, "model" if is_exact_stop(text) else "repaired")
    if len(_MARK.findall(text)) <= 1 and STOP not in text and is_question(text):
        return Answer(text, "model")
    for cut in _first_question(text.replace(STOP, " ")):
        if is_question(cut):
            return Answer(cut, "repaired")
    return Answer(fallback, "fallback")


def _first_question(text: str) -> list[str]:
    """Ways to keep only the first question of `text`: with what leads up to it, then on its own."""
    mark = _MARK.search(text)
    if mark is None:
        return []
    led_up = text[: mark.end()].strip()
    starts = [end.end() for end in _SENTENCE_END.finditer(text, 0, mark.start())]
    alone = text[starts[-1] : mark.end()].strip() if starts else led_up
    return [led_up] if alone == led_up else [led_up, alone]
