"""The pod's voice: the latest progress, told now and then, by a thread that a stage never waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import grpc

from learntoask.progress.report import ProgressReport, to_wire
from learntoask.rpc.channels import authorization
from learntoask.wire import progress_pb2_grpc

logger = logging.getLogger(__name__)
INTERVAL_SECONDS = 2.0
_CALL_SECONDS = 5.0
_LAST_SECONDS = 2.0  # for the last word of a pod that ends
_LONGEST_PAUSE_SECONDS = 60.0  # while nobody listens


class RemainingTime:
    """How long a step is going to take yet, by how it went since it began."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._step: tuple[str, float] | None = None
        self._began = (0.0, 0.0)

    def remaining(self, done: float, total: float, message: str) -> float | None:
        """Seconds; None while nobody can tell."""
        if (message, total) != self._step or done < self._began[1]:
            self._step, self._began = (message, total), (self._now(), done)
        seconds, units = self._now() - self._began[0], done - self._began[1]
        return seconds / units * (total - done) if units > 0 and total >= done else None


class ProgressPusher:
    """Tell the operator at `address` how `subject` goes on, at most every two seconds. What cannot be told is dropped,
    and while nobody listens it is tried ever more rarely.

    `token` is the file of the projected token, read anew for every call, since it is renewed there.
    """

    def __init__(self, address: str, *, token: Path, subject: ProgressReport) -> None:
        self._address, self._token, self._subject = address, token, subject
        self._pace = RemainingTime()
        self._news = threading.Condition()
        self._latest: ProgressReport | None = None
        self._over = False
        self._told_of_failure = False
        self._thread = threading.Thread(target=self._push, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._news:
            self._over = True
            self._news.notify()
        self._thread.join(_LAST_SECONDS)

    def update(self, progress: dict[str, Any]) -> None:
        """What a stage's process says of its progress: `done`, `total`, `message` and `metrics`."""
        done, total, message = float(progress["done"]), float(progress["total"]), str(progress["message"])
        report = replace(
            self._subject,
            done=done,
            total=total,
            message=message,
            metrics={name: float(value) for name, value in progress["metrics"].items()},
            remaining_seconds=self._pace.remaining(done, total, message),
        )
        with self._news:
            self._latest = report
            self._news.notify()

    def _push(self) -> None:
        pause = INTERVAL_SECONDS
        with grpc.insecure_channel(self._address) as channel:
            stub = progress_pb2_grpc.ProgressServiceStub(channel)
            while (report := self._next()) is not None:
                told = self._tell(stub, report)
                pause = INTERVAL_SECONDS if told else min(2 * pause, _LONGEST_PAUSE_SECONDS)
                with self._news:
                    self._news.wait_for(lambda: self._over, pause)

    def _next(self) -> ProgressReport | None:
        """The latest report once there is one; None when there will be none."""
        with self._news:
            self._news.wait_for(lambda: self._over or self._latest is not None)
            report, self._latest = self._latest, None
            return report

    def _tell(self, stub: progress_pb2_grpc.ProgressServiceStub, report: ProgressReport) -> bool:
        try:
            metadata = authorization(self._token.read_text(encoding="utf-8").strip())
            stub.Report(
                to_wire(report), metadata=metadata, timeout=_LAST_SECONDS if self._over else _CALL_SECONDS
            )
        except (OSError, grpc.RpcError) as error:
            if not self._told_of_failure:
                said = error.details() if isinstance(error, grpc.Call) else str(error)
                logger.warning("progress cannot be told to %s: %s", self._address, said)
            self._told_of_failure = True
            return False
        self._told_of_failure = False
        return True
