"""Converts messages, decisions and server information between protobuf and plain records.

The tables of roles, authors and origins serve the client and every server that reads or writes ask.proto messages.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from learntoask.client.types import Assignment, CallFailed, Decision, Origin, ServerInfo, Usage
from learntoask.core.assessment import MissingField
from learntoask.core.records import Author, Message, Role
from learntoask.rpc.calls import REQUEST_ID
from learntoask.wire import ask_pb2 as wire

ROLES: dict[wire.Role, Role] = {wire.ROLE_USER: "user", wire.ROLE_ASSISTANT: "assistant"}
AUTHORS: dict[wire.Author, Author] = {
    wire.AUTHOR_USER: "user",
    wire.AUTHOR_EXPERT: "expert",
    wire.AUTHOR_POLICY: "policy",
}
ORIGINS: dict[wire.Origin, Origin] = {
    wire.ORIGIN_MODEL: "model",
    wire.ORIGIN_REPAIRED: "repaired",
    wire.ORIGIN_FALLBACK: "fallback",
    wire.ORIGIN_NO_SERVER: "no_server",
}
WIRE_ORIGINS = {origin: number for number, origin in ORIGINS.items()}
_WIRE_ROLES = {role: number for number, role in ROLES.items()}
_WIRE_AUTHORS = {author: number for number, author in AUTHORS.items()}


def sendable(text: str, field: str) -> str:
    """Return `text`, which protobuf must be able to encode. Raises CallFailed that names the field."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CallFailed(
            "INVALID_ARGUMENT",
            f"{field}: character {error.start} is {text[error.start]!a}, half of a surrogate pair, so the text is not "
            'Unicode. It was cut or decoded wrongly; text.encode(errors="replace").decode() makes it sendable',
        ) from None
    return text


def to_wire(messages: Sequence[Message]) -> list[wire.Message]:
    """Convert messages to protobuf. Raises CallFailed for text that is not Unicode."""
    return [
        wire.Message(
            role=_WIRE_ROLES[message.role],
            content=sendable(message.content, f"messages[{number}].content"),
            author=_WIRE_AUTHORS[message.author],
        )
        for number, message in enumerate(messages)
    ]


def decision_from(decision: wire.Decision) -> Decision:
    """Convert a decision from protobuf; an unknown origin of a newer server counts as `model`."""
    return Decision(
        question=decision.ask.question if decision.HasField("ask") else None,
        stop_probability=decision.stop_probability,
        origin=ORIGINS.get(decision.origin, "model"),
        policy_revision=decision.policy_revision,
        usage=Usage(
            decision.usage.prompt_tokens, decision.usage.cached_tokens, decision.usage.completion_tokens
        ),
        request_id=decision.request_id,
        assignment=_assignment(decision.assignment) if decision.HasField("assignment") else None,
        missing=tuple(
            MissingField(found.field, found.probability if found.HasField("probability") else None)
            for found in decision.missing
        ),
    )


def _assignment(assignment: wire.Assignment) -> Assignment:
    return Assignment(
        rollout=assignment.rollout,
        arm="canary" if assignment.arm == wire.ARM_CANARY else "control",
        token=assignment.SerializeToString(),
    )


def to_wire_assignment(assignment: Assignment | None) -> wire.Assignment | None:
    """Convert an assignment back to what the gateway sent."""
    return None if assignment is None else wire.Assignment.FromString(assignment.token)


def info_from(info: wire.GetServerInfoResponse) -> ServerInfo:
    """Convert server information from protobuf."""
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
    """Convert gRPC's error to the client's, with the request id that the server sent."""
    request_id = next((value for key, value in error.trailing_metadata() or () if key == REQUEST_ID), None)
    return CallFailed(error.code().name, error.details() or "no details", request_id=request_id)
