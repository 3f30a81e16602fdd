"""Lines as broken exports have them, each broken in its own way, to show that one bad line never stops a run."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from typing import Any

Line = dict[str, Any]


def malformed_lines(rng: random.Random, sample: list[Line]) -> Iterator[tuple[str, bytes]]:
    """(what is wrong, the raw line); `sample` are sound sessions to break, all of them earlier in the file."""
    chosen = iter(rng.sample(sample, 14))

    def broken(**changes: Any) -> bytes:
        line = next(chosen)
        return _bytes({**line, "session_id": line["session_id"] + "-x", **changes})

    def reworded(**message: Any) -> bytes:
        line = next(chosen)
        first, *rest = line["messages"]
        return _bytes(
            {**line, "session_id": line["session_id"] + "-x", "messages": [{**first, **message}, *rest]}
        )

    yield "truncated", broken()[: rng.randint(90, 160)]
    yield "not an object", _bytes(next(chosen)["messages"])
    yield "no session id", broken(session_id=None)
    yield "duplicate session id", _bytes(next(chosen))
    yield "no messages", broken(messages=[])
    yield "messages missing", _bytes({"session_id": "rx-lost-in-export", "expert": "maren"})
    yield "unknown role", reworded(role="bot")
    yield "content not text", reworded(content={"type": "image", "ref": 17})
    yield "empty message", reworded(content="   ")
    photo = base64.b64encode(rng.randbytes(52_000)).decode()
    yield "message too long", reworded(content=f"a photo of it: {photo}")
    yield (
        "not utf-8",
        reworded(content="bonjour, j'ai mal à la tête").decode().encode("latin-1", errors="replace"),
    )
    only = [message for message in sample[0]["messages"] if message["role"] == "assistant"]
    yield "no user message", broken(messages=only)
    yield "no expert message", broken(messages=[{"role": "user", "content": "hello?"}])
    yield "unknown task", broken(task="veterinary")


def _bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
