"""Pushes a stage's latest progress from its pod to the operator, from a thread that the stage never waits for."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import grpc

from learntoask.core.errors import InputError
from learntoask.progress.remaining_time import RemainingTime
from learntoask.progress.report import ProgressReport, to_wire
from learntoask.rpc.channels import Tls, authorization, open_blocking_channel
from learntoask.wire import progress_pb2_grpc

logger = logging.getLogger(__name__)
INTERVAL_SECONDS = 2.0
_CALL_SECONDS = 5.0
_LAST_SECONDS = 2.0  # for the last report of a pod that ends
_LONGEST_PAUSE_SECONDS = 60.0  # while the operator does not answer


class ProgressPusher:
    """Sends the progress of `subject` to the operator at `address`, at most every two seconds.

    A report that cannot be sent is dropped, and the pause before the next one doubles. `token` is the file of the
    projected token; it is read for every call, because the kubelet renews it. After a failure the files of `tls` are
    read again too. Use it with `with`.
    """

    def __init__(self, address: str, *, token: Path, tls: Tls | None = None, subject: ProgressReport) -> None:
        """Raises InputError for an `address` that is not host:port, and for a file that cannot be read."""
        self._address, self._token, self._tls, self._subject = address, token, tls, subject
        self._channel = open_blocking_channel(address, tls=tls)
        self._remaining = RemainingTime()
        self._changed = threading.Condition()
        self._latest: ProgressReport | None = None
        self._over = False
        self._failure_logged = False
        self._thread = threading.Thread(target=self._push, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(_LAST_SECONDS)

    def update(self, progress: dict[str, Any]) -> None:
        """Keep a stage's progress for the next report: `done`, `total`, `message` and `metrics`."""
        done, total, message = float(progress["done"]), float(progress["total"]), str(progress["message"])
        report = replace(
            self._subject,
            done=done,
            total=total,
            message=message,
            metrics={name: float(value) for name, value in progress["metrics"].items()},
            remaining_seconds=self._remaining.remaining(done, total, message),
        )
        self.report(report)

    def report(self, report: ProgressReport) -> None:
        """Keep a whole report as the next one."""
        with self._changed:
            self._latest = report
            self._changed.notify()

    def _push(self) -> None:
        pause = INTERVAL_SECONDS
        while (report := self._next()) is not None:
            sent = self._send(progress_pb2_grpc.ProgressServiceStub(self._channel), report)
            if not sent and self._tls is not None:
                self._renew()
            pause = INTERVAL_SECONDS if sent else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            with self._changed:
                self._changed.wait_for(lambda: self._over, pause)
        self._channel.close()

    def _renew(self) -> None:
        try:
            renewed = open_blocking_channel(self._address, tls=self._tls)
        except InputError as error:  # in the middle of a renewal
            logger.warning("authority of the operator kept: %s", error)
            return
        self._channel.close()
        self._channel = renewed

    def _next(self) -> ProgressReport | None:
        """Wait for a report and return the latest one; None after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._latest is not None)
            report, self._latest = self._latest, None
            return report

    def _send(self, stub: progress_pb2_grpc.ProgressServiceStub, report: ProgressReport) -> bool:
        try:
            metadata = authorization(self._token.read_text(encoding="utf-8").strip())
            stub.Report(
                to_wire(report), metadata=metadata, timeout=_LAST_SECONDS if self._over else _CALL_SECONDS
            )
        except (OSError, grpc.RpcError) as error:
            if not self._failure_logged:
                reason = error.details() if isinstance(error, grpc.Call) else str(error)
                logger.warning("progress cannot be sent to %s: %s", self._address, reason)
            self._failure_logged = True
            return False
        self._failure_logged = False
        return True
