"""Between the client's types and protobuf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from learntoask.client.types import CallFailed, Decision, ServerInfo, Usage
from learntoask.core.records import Message
from learntoask.wire import ask_pb2 as wire

_ROLES = {"user": wire.ROLE_USER, "assistant": wire.ROLE_ASSISTANT}
_AUTHORS = {"user": wire.AUTHOR_USER, "expert": wire.AUTHOR_EXPERT, "policy": wire.AUTHOR_POLICY}
_ORIGINS: dict[int, Any] = {
    wire.ORIGIN_MODEL: "model",
    wire.ORIGIN_REPAIRED: "repaired",
    wire.ORIGIN_FALLBACK: "fallback",
    wire.ORIGIN_NO_SERVER: "no_server",
}


def to_wire(messages: Sequence[Message]) -> list[wire.Message]:
    return [
        wire.Message(role=_ROLES[message.role], content=message.content, author=_AUTHORS[message.author])
        for message in messages
    ]


def decision_from(decision: wire.Decision) -> Decision:
    return Decision(
        question=decision.ask.question if decision.HasField("ask") else None,
        stop_probability=decision.stop_probability,
        origin=_ORIGINS.get(decision.origin, "model"),
        policy_revision=decision.policy_revision,
        usage=Usage(
            decision.usage.prompt_tokens, decision.usage.cached_tokens, decision.usage.completion_tokens
        ),
        request_id=decision.request_id,
    )


def info_from(info: wire.GetServerInfoResponse) -> ServerInfo:
    return ServerInfo(
        version=info.version,
        policy_revision=info.policy_revision,
        pack=info.pack,
        pack_digest=info.pack_digest,
        tasks=tuple(task.name for task in info.tasks),
        default_task=info.default_task or None,
        draining=info.draining,
    )


def failure(error: grpc.aio.AioRpcError) -> CallFailed:
    request_id = next(
        (value for key, value in error.trailing_metadata() or () if key == "x-request-id"), None
    )
    return CallFailed(error.code().name, error.details() or "no details", request_id=request_id)
