"""One trace of each stage of a run: a span of every attempt at it, in every pod, and of the processes that compute it.

The trace's id follows from run and stage key, so that all attempts and all pods of a stage meet in one trace without
knowing of each other. The parent of the stage's process makes the span of the attempt, because a process that was
killed can tell nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from learntoask.core.digest import digest_of
from learntoask.core.errors import LearnToAskError
from learntoask.core.json_object import Json
from learntoask.core.stages.publication import PinnedPublication
from learntoask.rpc import tracing

if TYPE_CHECKING:
    from learntoask.rpc.spans import LiveSpan

SERVICE = "learntoask-stage"
"""Name of stages among the services of a trace."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TracedAttempt:
    """What the span of an attempt tells about it. `files` maps roles to digests, `index` is that of the pod."""

    run: str
    namespace: str = ""
    stage: str
    key: str
    attempt: int
    index: int = 0
    pack: str = ""
    inputs: Mapping[str, PinnedPublication] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def trace(self) -> str:
        """The id of the stage's trace: 32 hex digits."""
        return digest_of([self.namespace, self.run, self.stage, self.key])[:32]

    @property
    def attributes(self) -> dict[str, str | int]:
        told: dict[str, str | int] = {
            "run": self.run,
            "namespace": self.namespace,
            "stage": self.stage,
            "stage.key": self.key,
            "attempt": self.attempt,
            "index": self.index,
            "pack": self.pack,
            **{f"input.{name}": pinned.output for name, pinned in self.inputs.items()},
            **{f"file.{role}": digest for role, digest in self.files.items()},
        }
        return {f"learntoask.{name}": value for name, value in told.items() if value != ""}


class StageTrace:
    """The span of one attempt, begun now. It does nothing while traces are off."""

    def __init__(self, attempt: TracedAttempt) -> None:
        self._span: LiveSpan | None = tracing.working(
            f"stage {attempt.stage}", attributes=attempt.attributes, trace=attempt.trace
        )

    def mark_logs(self) -> None:
        """Show the trace in every later log line of this process, which works at nothing else."""
        if self._span is not None:
            _mark_logs(self._span)

    @property
    def variables(self) -> dict[str, str]:
        """Variables by which the stage's process continues the trace."""
        return {} if self._span is None else {tracing.TRACEPARENT: self._span.traceparent}

    def end(self, final: Json) -> None:
        """End with the last message of the stage's process: `{"result": …}`, or `{"failure": …}`."""
        if self._span is None:
            return
        failure = final.get("failure")
        if failure:
            self._span.set({"learntoask.retryable": bool(failure["retryable"])})
            self._span.end(failure["reason"], told(failure["reason"], failure["message"]))
        else:
            result = final.get("result", {})
            found = {name: result[name] for name in ("output", "skipped") if result.get(name) is not None}
            self._span.set({f"learntoask.{name}": value for name, value in found.items()})
            self._span.end()
        self._span = None

    def stop(self, reason: str) -> None:
        """End an attempt that was stopped on purpose, or by the cluster."""
        if self._span is not None:
            self._span.set({"learntoask.stopped": reason})
            self._span.end()
        self._span = None


@contextmanager
def computing(stage: str) -> Iterator[None]:
    """The span of the process that computes a stage, in the trace of the attempt that has started it."""
    parent = os.environ.get(tracing.TRACEPARENT, "")
    span = tracing.working(f"compute {stage}", attributes={"learntoask.stage": stage}, parent=parent)
    if span is None:
        yield
        return
    _mark_logs(span)
    failure: tuple[str | None, str | None] = (None, None)
    try:
        yield
    except LearnToAskError as error:
        failure = error.reason, told(error.reason, str(error))
        raise
    except BaseException as error:
        failure = type(error).__name__, None
        raise
    finally:
        span.end(*failure)


def told(reason: str, message: str) -> str:
    """Return what a trace keeps of a failure: nothing that a library may have said about a text of the logs."""
    return message.partition(":" if reason == "InternalError" else "\n")[0]


def _mark_logs(span: LiveSpan) -> None:
    for handler in logging.getLogger().handlers:
        if (layout := handler.formatter) is not None and layout._fmt is not None:
            shown = layout._fmt.replace("%(message)s", f"[trace {span.trace_id}] %(message)s")
            handler.setFormatter(logging.Formatter(shown))
