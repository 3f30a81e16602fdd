"""What calls take and return, free of protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from learntoask.core.errors import LearnToAskError
from learntoask.core.records import STOP, Message


def user(content: str) -> Message:
    return Message(role="user", content=content, author="user")


def assistant(content: str, *, author: Literal["policy", "expert"] = "policy") -> Message:
    """`expert` where a person said it: only their turns may train a policy later."""
    return Message(role="assistant", content=content, author=author)


@dataclass(frozen=True)
class Usage:
    """Tokens."""

    prompt: int
    cached: int
    completion: int


@dataclass(frozen=True)
class Decision:
    """`question` is what to ask next, None for a stop. Of origin `no_server` is what a gateway says while no policy
    server answers: the domain pack's fallback question."""

    question: str | None
    stop_probability: float
    origin: Literal["model", "repaired", "fallback", "no_server"]
    policy_revision: str
    usage: Usage
    request_id: str

    @property
    def stop(self) -> bool:
        return self.question is None

    @property
    def message(self) -> Message:
        """The decision as a message of the conversation, to be sent back as history."""
        return assistant(self.question or STOP)


@dataclass(frozen=True)
class ServerInfo:
    version: str
    policy_revision: str
    pack: str
    pack_digest: str
    tasks: tuple[str, ...]
    default_task: str | None
    draining: bool


class CallFailed(LearnToAskError):
    """`code` is the gRPC status code's name, e.g. INVALID_ARGUMENT; the message says what to do."""

    def __init__(self, code: str, message: str, *, request_id: str | None = None) -> None:
        super().__init__(
            f"{code}: {message}" + (f" (request {request_id})" if request_id else ""), reason=code
        )
        self.code = code
        self.request_id = request_id
