"""Served conversations as log records that `lta run` reads back (opt-in).

One JSON session a line, as the logs that training reads, every message with its author: the policy's own turns are
context there and never expert targets. A line is written in one piece when its conversation ends (a stream closes, a
Decide conversation rests, the server drains), so a crash loses at most the conversations then open.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from pydantic import JsonValue

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.serving.answer import Answer

Redact = Callable[[str], str]
ROTATE_BYTES = 64 * 2**20
RESTS_AFTER_SECONDS = 600.0  # a Decide conversation without a call for so long counts as ended
MAX_OPEN = 10_000  # Decide conversations remembered; beyond it the one that rests longest is written


@dataclass
class _Open:
    context: Context
    answer: Answer
    decisions: list[dict[str, JsonValue]] = field(default_factory=list)
    touched: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """What a record keeps about one decision beside the words."""

    answer: Answer
    stop_probability: float
    request_id: str
    policy_revision: str


class RecordLog:
    """Thread-safe; `write` waits for the disk, so an event loop calls it from a thread."""

    def __init__(
        self,
        folder: Path,
        *,
        pack: Pack,
        redact: Redact,
        rotate_bytes: int = ROTATE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._pack = pack
        self._redact = redact
        self._rotate_bytes = rotate_bytes
        self._clock = clock
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._lock = Lock()
        self._path: Path | None = None

    def note(self, conversation: str, context: Context, decision: RecordedDecision) -> list[str]:
        """Remember the latest state of a conversation; `context` is the whole of it before the decision.

        Returns the conversations that have ended meanwhile: pass each to `write`.
        """
        now = self._clock()
        with self._lock:
            entry = self._open.setdefault(conversation, _Open(context, decision.answer))
            entry.context, entry.answer, entry.touched = context, decision.answer, now
            entry.decisions.append(
                {
                    "message": len(context.messages),
                    "action": decision.answer.action,
                    "origin": decision.answer.origin,
                    "stop_probability": round(decision.stop_probability, 6),
                    "request_id": decision.request_id,
                    "policy_revision": decision.policy_revision,
                }
            )
            self._open.move_to_end(conversation)
            return self._ended(now)

    def write(self, conversation: str) -> None:
        """Append the conversation to the log. Raises OSError (it stays open then) or what a redaction hook raises."""
        with self._lock:
            entry = self._open.get(conversation)
            if entry is None:
                return
            line = json.dumps(self._record(conversation, entry), ensure_ascii=False) + "\n"
            self._append(line.encode("utf-8"))
            del self._open[conversation]

    def finish(self) -> None:
        """Let the present file be: what is written from now on goes into another."""
        with self._lock:
            self._path = None

    def open_conversations(self) -> list[str]:
        with self._lock:
            return list(self._open)

    def drop(self, conversation: str) -> None:
        """Forget a conversation that cannot be written."""
        with self._lock:
            self._open.pop(conversation, None)

    def _ended(self, now: float) -> list[str]:
        ended: list[str] = []
        for name, entry in self._open.items():
            if now - entry.touched < RESTS_AFTER_SECONDS and len(self._open) - len(ended) <= MAX_OPEN:
                break  # ordered by touch: those behind are younger
            ended.append(name)
        return ended

    def _record(self, conversation: str, entry: _Open) -> dict[str, JsonValue]:
        messages: list[JsonValue] = [
            {"role": message.role, "content": self._redact(message.content), "author": message.author}
            for message in (*entry.context.messages, entry.answer.message)
            if message.content.strip()  # a log line may not hold an empty message
        ]
        record: dict[str, JsonValue] = {
            # Unique even where a caller uses a conversation id again or comes back after a rest.
            "session_id": f"{conversation}/{entry.decisions[0]['request_id']}",
            **task_keys(entry.context.task, self._pack.task_from),
            "messages": messages,
            "served": {
                "policy_revision": entry.decisions[-1]["policy_revision"],
                "decisions": list(entry.decisions),
            },
        }
        if entry.context.goal:
            record["goal"] = self._redact(entry.context.goal)
        return record

    def _append(self, line: bytes) -> None:
        path = self._current(len(line))
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(f"{path}: the disk took only a part of a record")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)  # never leave half a line for the next one to run into
                raise
        finally:
            os.close(descriptor)

    def _current(self, size: int) -> Path:
        if self._path is None or (
            self._path.exists() and self._path.stat().st_size + size > self._rotate_bytes
        ):
            self._folder.mkdir(parents=True, exist_ok=True)
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
            # The process id keeps replicas on one volume apart.
            self._path = self._folder / f"conversations-{stamp}-{os.getpid()}.jsonl"
        return self._path


def task_keys(task: str, task_from: Sequence[str]) -> dict[str, JsonValue]:
    """The keys that name `task` in a session line, where the pack looks for them: its paths joined by `/`."""
    keys: dict[str, JsonValue] = {}
    for path, part in zip(task_from, task.split("/", len(task_from) - 1), strict=False):
        *parents, last = path.split(".")
        place = keys
        for parent in parents:
            nested = place.setdefault(parent, {})
            if not isinstance(nested, dict):
                break
            place = nested
        place[last] = part
    return keys


def redaction(patterns: Sequence[str], hook: str | None) -> Redact:
    """Patterns first, then the hook `package.module:function`. Raises InputError where it cannot be imported."""
    compiled = [re.compile(pattern) for pattern in patterns]
    function = _imported(hook) if hook else None

    def redact(text: str) -> str:
        for pattern in compiled:
            text = pattern.sub("[redacted]", text)
        return function(text) if function else text

    return redact


def _imported(hook: str) -> Redact:
    module, _, name = hook.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"redact_hook {hook!r} cannot be imported (package.module:function): {error}"
        ) from error
    if not callable(function):
        raise InputError(f"redact_hook {hook!r} is not a function")
    return function  # type: ignore[no-any-return]
