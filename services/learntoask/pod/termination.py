"""A pod's last words: JSON of at most 4096 bytes, which Kubernetes puts into the pod's status for the operator."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

logger = logging.getLogger(__name__)
MOST_BYTES = 4096
_FIRST = ("passed", "message")  # the gate's verdict: the plan depends on it

Words = dict[str, JsonValue]


def published(
    output: str | None, summary: Mapping[str, JsonValue], *, skipped: bool, seconds: float
) -> Words:
    """A stage's success; `output` is None after a share that was not the last. Of a summary that is too long the
    figures come first, then as much of the rest as there is room for."""
    words: Words = {"output": output, "summary": {}, "skipped": skipped, "seconds": round(seconds, 1)}
    order = sorted(summary, key=lambda name: (name not in _FIRST, isinstance(summary[name], dict | list)))
    kept: dict[str, JsonValue] = {}
    for name in order:
        grown = {**kept, name: summary[name]}
        if len(_encoded({**words, "summary": grown})) <= MOST_BYTES:
            kept = grown
    return {**words, "summary": {name: kept[name] for name in summary if name in kept}}


def resolved(inputs: JsonValue) -> Words:
    return {"inputs": inputs}


def failed(reason: str, message: str, *, retryable: bool) -> Words:
    """A failure; of a message that is too long the middle is left out: both what is wrong and how it ended count."""
    words: Words = {"reason": reason, "message": message, "retryable": retryable}
    room = len(message)
    while len(_encoded(words)) > MOST_BYTES:
        room = room * 9 // 10
        words["message"] = f"{message[: room // 2]} … {message[len(message) - room // 2 :]}"
    return words


def write(path: Path, words: Words) -> None:
    """Where the file cannot be written the log has the words, and Kubernetes takes the end of the log instead."""
    encoded = _encoded(words)
    try:
        path.write_bytes(encoded)
    except OSError as error:
        logger.warning("%s cannot be written: %s", path, error)
        logger.info("%s", encoded.decode("utf-8", errors="replace"))


def _encoded(words: Words) -> bytes:
    # Kubernetes keeps a valid UTF-8 string; lone surrogates of broken logs are not.
    return json.dumps(words, ensure_ascii=False).encode("utf-8", errors="replace")
