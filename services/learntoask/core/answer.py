"""The decision that an answer of the policy expresses: stop, or continue with a question."""

from __future__ import annotations

from learntoask.core.records import STOP, Decision


def decision_of(answer: str) -> Decision:
    """Return `stop` if the stop string occurs anywhere in the answer, else `continue` (docs/method.md)."""
    return "stop" if STOP in answer else "continue"


def is_exact_stop(answer: str) -> bool:
    """Whether the answer consists of the stop string alone, apart from white space."""
    return answer.strip() == STOP
