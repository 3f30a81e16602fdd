"""The domain pack's demo conversation: it shows a finished policy and warms up a server."""

from __future__ import annotations

import math

from learntoask.core.errors import StageError
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.serving.decider import Decider
from learntoask.serving.engines.protocol import Engine
from learntoask.serving.metrics import ServingMetrics

_MESSAGE = "Hello."  # if the pack has no demo
_ANSWER_SECONDS = 600.0  # longest time for one answer; the first ones compile code and load pages


def demo_task(pack: Pack) -> str:
    """Return the name of the demo's task, of the default task or of the first one."""
    return pack.demo_task or pack.default_task or pack.tasks[0].name


async def warm_up(engine: Engine, pack: Pack, *, may_stop: bool) -> int:
    """Hold the demo conversation until the policy stops, and return the number of answers. No metric counts them.

    Raises StageError (WarmUpFailed) if an answer fails or its stop probability is not finite.
    """
    decider = Decider(
        engine,
        revision="",
        pack=pack,
        metrics=ServingMetrics(),
        capacity=1,
        deadline_seconds=_ANSWER_SECONDS,
        may_stop=may_stop,
    )
    messages: list[Message] = []
    task = demo_task(pack)
    for number, text in enumerate(pack.demo or (_MESSAGE,), 1):
        messages.append(Message(role="user", content=text, author="user"))
        try:
            decision = await decider.decide(Context(task, None, tuple(messages)), seconds_left=None)
        except Exception as error:
            raise _warm_up_failure(f"answer {number} failed: {type(error).__name__}: {error}") from error
        if not math.isfinite(decision.stop_probability):
            raise _warm_up_failure(
                f"answer {number}: the probability of stopping is {decision.stop_probability}"
            )
        messages.append(decision.answer.message)
        if decision.answer.question is None:
            return number
    return len(messages) // 2


def _warm_up_failure(what: str) -> StageError:
    return StageError(
        f"the policy does not answer the pack's demo conversation: {what}", reason="WarmUpFailed"
    )
