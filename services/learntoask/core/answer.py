"""How an answer of the policy is read: a stop, or something to say to the user."""

from __future__ import annotations

from learntoask.core.records import STOP, Decision


def decision_of(answer: str) -> Decision:
    """`stop` iff the stop string occurs anywhere in the answer (docs/method.md)."""
    return "stop" if STOP in answer else "continue"


def is_exact_stop(answer: str) -> bool:
    """Whether the answer is the stop string and nothing else, white space aside."""
    return answer.strip() == STOP
