"""The answers of a queue as bytes with a digest, which a stage reads as an input like a file. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from learntoask.review.records import ReviewAnswer
from learntoask.review.state import QueueState


@dataclass(frozen=True, kw_only=True)
class FrozenAnswers:
    """`content` is `answers.jsonl`, one ReviewAnswer a line, and `digest` its SHA-256 (64 hex digits)."""

    answers: tuple[ReviewAnswer, ...]
    content: bytes
    digest: str


def frozen_answers(state: QueueState) -> FrozenAnswers:
    """Return the standing answers to all items that are not retired, by item and reviewer.

    Times, comments and the way to an answer are left out, so that reviews with the same answers have the same digest.
    """
    answers = tuple(
        ReviewAnswer(
            item=item,
            reviewer=reviewer,
            answer=response.answer or (),
            blind=response.blind,
            repeats=state.items[item].repeats,
            adjudicated=response.adjudicated,
        )
        for item, reviewer, response in sorted(state.answers(), key=lambda found: found[:2])
        if item not in state.retired
    )
    content = "".join(answer.model_dump_json() + "\n" for answer in answers).encode()
    return FrozenAnswers(answers=answers, content=content, digest=hashlib.sha256(content).hexdigest())
