"""The domain pack's demo conversation: what a finished policy is shown with, and what a server warms up on."""

from __future__ import annotations

import math

from learntoask.core.errors import StageError
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.serving.decider import Decider
from learntoask.serving.engines.protocol import Engine
from learntoask.serving.metrics import Metrics

_QUESTION = "Hello."  # of a pack without a demo
_ANSWER_SECONDS = 600.0  # longest time for one answer: the first ones compile and page in


def demo_task(pack: Pack) -> str:
    return pack.demo_task or pack.default_task or pack.tasks[0].name


async def warm_up(engine: Engine, pack: Pack, *, may_stop: bool) -> int:
    """Hold the conversation with the policy until it stops; returns the number of answers. It counts in no metric.

    Raises StageError (WarmUpFailed) where an answer fails or is no number.
    """
    decider = Decider(
        engine,
        revision="",
        pack=pack,
        metrics=Metrics(),
        capacity=1,
        deadline_seconds=_ANSWER_SECONDS,
        may_stop=may_stop,
    )
    messages: list[Message] = []
    task = demo_task(pack)
    for number, text in enumerate(pack.demo or (_QUESTION,), 1):
        messages.append(Message(role="user", content=text, author="user"))
        try:
            decided = await decider.decide(Context(task, None, tuple(messages)), seconds_left=None)
        except Exception as error:
            raise _failed(f"answer {number} failed: {type(error).__name__}: {error}") from error
        if not math.isfinite(decided.stop_probability):
            raise _failed(f"answer {number}: the probability of stopping is {decided.stop_probability}")
        messages.append(decided.answer.message)
        if decided.answer.question is None:
            return number
    return len(messages) // 2


def _failed(what: str) -> StageError:
    return StageError(
        f"the policy does not answer the pack's demo conversation: {what}", reason="WarmUpFailed"
    )
