"""Termination messages: made to fit into the 4,096 bytes that Kubernetes keeps, and written to the termination log.

Kubernetes copies the file into the pod's status, where the operator reads it (core.pod_contract.TerminationMessage).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.pod_contract import LONGEST_TERMINATION_MESSAGE, TerminationMessage

logger = logging.getLogger(__name__)
_FIRST = ("passed", "message")  # the gate's verdict, on which the plan depends


def success_message(
    output: str | None, summary: Mapping[str, JsonValue], *, skipped: bool, seconds: float
) -> TerminationMessage:
    """The message of a stage that succeeded; `output` is None from a shard that was not the last one.

    A summary that is too long loses its last entries. The gate's verdict counts as first, then come single figures,
    then lists and objects.
    """

    def message(entries: Mapping[str, JsonValue]) -> TerminationMessage:
        return TerminationMessage(
            output=output, summary=dict(entries), skipped=skipped, seconds=round(seconds, 1)
        )

    order = sorted(summary, key=lambda name: (name not in _FIRST, isinstance(summary[name], dict | list)))
    kept: dict[str, JsonValue] = {}
    for name in order:
        grown = {**kept, name: summary[name]}
        if len(message(grown).encode()) <= LONGEST_TERMINATION_MESSAGE:
            kept = grown
    return message({name: kept[name] for name in summary if name in kept})


def failure_message(reason: str, message: str, *, retryable: bool) -> TerminationMessage:
    """The message of a failure. A message that is too long loses its middle, because its beginning says what is wrong
    and its end how the process ended."""
    found = TerminationMessage(reason=reason, message=message, retryable=retryable)
    room = len(message)
    while len(found.encode()) > LONGEST_TERMINATION_MESSAGE:
        room = room * 9 // 10
        shortened = f"{message[: room // 2]} … {message[len(message) - room // 2 :]}"
        found = found.model_copy(update={"message": shortened})
    return found


def write_message(path: Path, message: TerminationMessage) -> None:
    """Write `message` to the file `path`. If that fails, log it: Kubernetes then takes the end of the log instead."""
    encoded = message.encode()
    try:
        path.write_bytes(encoded)
    except OSError as error:
        logger.warning("%s cannot be written: %s", path, error)
        logger.info("%s", encoded.decode("utf-8", errors="replace"))
