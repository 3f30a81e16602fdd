"""Log files of served conversations, in the format of logs that `lta run` reads (opt-in).

A line is one session as JSON. Every message has its author, so that training treats the policy's turns as context and
never as an expert's. A line is written at once when its conversation ends, because its stream closes, no Decide call
came for a while or the server drains. A crash therefore loses only the conversations that are open.
"""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from pydantic import JsonValue

from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.serving.answer import PolicyAnswer
from learntoask.serving.records.redaction import Redact

ROTATE_BYTES = 64 * 2**20
IDLE_SECONDS = 600.0  # a Decide conversation without a call for this time counts as ended
MAX_OPEN = 10_000  # conversations in memory; beyond it the one that is idle longest is written


@dataclass
class _OpenRecord:
    context: Context
    answer: PolicyAnswer
    decisions: list[dict[str, JsonValue]] = field(default_factory=list)
    touched: float = 0.0
    rollout: RecordedRollout | None = None


@dataclass(frozen=True, slots=True)
class RecordedRollout:
    """A conversation's place in a rollout, and its age in seconds at one decision.

    `compared`: it counts in comparisons. `moved`: it goes on with another policy. `failed`: a server of its arm failed.
    `caller` is a pseudonym, empty where the request named none.
    """

    id: str
    arm: str
    weight: int
    born: float
    compared: bool
    moved: bool
    age: float
    failed: bool
    caller: str = ""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as a record keeps it; `rollout` is None outside rollouts, `missing` as in ask.proto."""

    answer: PolicyAnswer
    stop_probability: float
    request_id: str
    policy_revision: str
    rollout: RecordedRollout | None = None
    missing: tuple[str, ...] = ()


class RecordLog:
    """Collects decisions by conversation and appends ended conversations to files of at most `rotate_bytes`.

    It is thread-safe. `write` waits for the disk, so an event loop must call it from a thread.
    """

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
        self._open: OrderedDict[str, _OpenRecord] = OrderedDict()
        self._lock = Lock()
        self._paths: dict[str, Path] = {}  # current file by kind

    def note(self, conversation: str, context: Context, decision: RecordedDecision) -> list[str]:
        """Remember a decision; `context` is the whole conversation before it.

        Return the names of conversations that have ended meanwhile; pass each to `write`.
        """
        now = self._clock()
        with self._lock:
            entry = self._open.setdefault(conversation, _OpenRecord(context, decision.answer))
            entry.context, entry.answer, entry.touched = context, decision.answer, now
            of_decision: dict[str, JsonValue] = {
                "message": len(context.messages),
                "action": decision.answer.action,
                "origin": decision.answer.origin,
                "stop_probability": round(decision.stop_probability, 6),
                "request_id": decision.request_id,
                "policy_revision": decision.policy_revision,
            }
            if decision.missing:
                of_decision["missing"] = list(decision.missing)
            if decision.rollout is not None:
                entry.rollout = decision.rollout
                of_decision |= {"age": round(decision.rollout.age, 3), "failed": decision.rollout.failed}
            entry.decisions.append(of_decision)
            self._open.move_to_end(conversation)
            return self._idle(now)

    def write(self, conversation: str) -> None:
        """Append a conversation to the current file. It stays open after OSError or a redaction error."""
        with self._lock:
            entry = self._open.get(conversation)
            if entry is None:
                return
            line = json.dumps(self._record(conversation, entry), ensure_ascii=False) + "\n"
            self._append(line.encode("utf-8"))
            del self._open[conversation]

    def write_outcome(self, conversation: str, name: str, value: str | float) -> None:
        """Append a reported outcome to the current file of outcomes. Raises OSError."""
        line = json.dumps(
            {
                "conversation": conversation,
                "outcome": name,
                "value": self._redact(value) if isinstance(value, str) else value,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            ensure_ascii=False,
        )
        with self._lock:
            self._append(f"{line}\n".encode(), kind="outcomes")

    def write_pair(self, pair: Mapping[str, JsonValue]) -> None:
        """Append two answers to one conversation, whose texts are redacted. Raises OSError."""
        line = json.dumps(self._redacted(dict(pair)), ensure_ascii=False)
        with self._lock:
            self._append(f"{line}\n".encode(), kind="pairs")

    def _redacted(self, content: JsonValue) -> JsonValue:
        if isinstance(content, str):
            return self._redact(content)
        if isinstance(content, list):
            return [self._redacted(part) for part in content]
        if isinstance(content, dict):
            return {name: self._redacted(part) for name, part in content.items()}
        return content

    def rotate(self) -> None:
        """Write later conversations and outcomes to other files, so that the current ones can be sent."""
        with self._lock:
            self._paths.clear()

    def open_conversations(self) -> list[str]:
        """Return the names of the conversations that are not yet written."""
        with self._lock:
            return list(self._open)

    def drop(self, conversation: str) -> None:
        """Forget a conversation that cannot be written."""
        with self._lock:
            self._open.pop(conversation, None)

    def _idle(self, now: float) -> list[str]:
        ended: list[str] = []
        for name, entry in self._open.items():
            if now - entry.touched < IDLE_SECONDS and len(self._open) - len(ended) <= MAX_OPEN:
                break  # they are ordered by last call, so the remaining ones are more recent
            ended.append(name)
        return ended

    def _record(self, conversation: str, entry: _OpenRecord) -> dict[str, JsonValue]:
        messages: list[JsonValue] = [
            {"role": message.role, "content": self._redact(message.content), "author": message.author}
            for message in (*entry.context.messages, entry.answer.message)
            if message.content.strip()  # a log line may not hold an empty message
        ]
        record: dict[str, JsonValue] = {
            # The first request id keeps sessions apart if a caller uses a conversation id again later.
            "session_id": f"{conversation}/{entry.decisions[0]['request_id']}",
            **task_keys(entry.context.task, self._pack.task_from),
            "messages": messages,
            "served": {
                "policy_revision": entry.decisions[-1]["policy_revision"],
                "decisions": list(entry.decisions),
                **_rollout_keys(conversation, entry.context.task, entry.rollout),
            },
        }
        if entry.context.goal:
            record["goal"] = self._redact(entry.context.goal)
        return record

    def _append(self, line: bytes, *, kind: str = "conversations") -> None:
        path = self._current(len(line), kind)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(f"{path}: only a part of a record could be written")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)  # half a line would spoil the next one
                raise
        finally:
            os.close(descriptor)

    def _current(self, size: int, kind: str) -> Path:
        path = self._paths.get(kind)
        if path is None or (path.exists() and path.stat().st_size + size > self._rotate_bytes):
            self._folder.mkdir(parents=True, exist_ok=True)
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
            # Replicas on one volume have different process ids.
            path = self._paths[kind] = self._folder / f"{kind}-{stamp}-{os.getpid()}.jsonl"
        return path


def _rollout_keys(conversation: str, task: str, rollout: RecordedRollout | None) -> dict[str, JsonValue]:
    if rollout is None:
        return {}
    return {
        "rollout": {
            "id": rollout.id,
            "conversation": conversation,
            "task": task,
            "arm": rollout.arm,
            "weight": rollout.weight,
            "born": round(rollout.born, 3),
            "compared": rollout.compared,
            "moved": rollout.moved,
            **({"caller": rollout.caller} if rollout.caller else {}),
        }
    }


def task_keys(task: str, task_from: Sequence[str]) -> dict[str, JsonValue]:
    """Return the keys by which the pack finds `task` in a session line: each path of `task_from` with its part.

    The name of a task is the values at all paths, joined by `/`.
    """
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
