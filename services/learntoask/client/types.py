"""Arguments and results of calls, free of protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from learntoask.core.assessment import MissingField
from learntoask.core.errors import LearnToAskError
from learntoask.core.records import STOP, Message

Origin = Literal["model", "repaired", "fallback", "no_server"]
"""Where a question comes from, as in ask.proto; only a gateway answers `no_server`."""


def user(content: str) -> Message:
    """Make a message of the user."""
    return Message(role="user", content=content, author="user")


def assistant(content: str, *, author: Literal["policy", "expert"] = "policy") -> Message:
    """Make a message of the assistant. `expert` means that a person wrote it: only such turns train a policy later."""
    return Message(role="assistant", content=content, author=author)


@dataclass(frozen=True)
class Usage:
    """Numbers of tokens. `cached` tokens of the prompt needed no computation."""

    prompt: int
    cached: int
    completion: int


@dataclass(frozen=True)
class Assignment:
    """To which policy of a rollout a conversation belongs. `token` is what the client sends back to the gateway."""

    rollout: str
    arm: Literal["control", "canary"]
    token: bytes


@dataclass(frozen=True)
class Decision:
    """What to do next: ask `question`, or stop if it is None.

    A gateway whose policy servers do not answer asks the domain pack's fallback question, with origin `no_server`. One
    that tries a new policy tells the `assignment` of the conversation. `missing` are the fields that the policy finds
    missing; empty at a stop, and for a policy that was not trained to say it.
    """

    question: str | None
    stop_probability: float
    origin: Origin
    policy_revision: str
    usage: Usage
    request_id: str
    assignment: Assignment | None = None
    missing: tuple[MissingField, ...] = ()

    @property
    def stop(self) -> bool:
        """Whether to stop."""
        return self.question is None

    @property
    def message(self) -> Message:
        """The decision as a message of the conversation, to be sent back as history."""
        return assistant(self.question or STOP)


@dataclass(frozen=True)
class ServerInfo:
    """What a server says about itself. `default_task` is None if the pack has no default."""

    version: str
    policy_revision: str
    pack: str
    pack_digest: str
    tasks: tuple[str, ...]
    default_task: str | None
    draining: bool


class CallFailed(LearnToAskError):
    """A call got no answer. `code` names the gRPC status code, e.g. INVALID_ARGUMENT; the message says what to do."""

    def __init__(self, code: str, message: str, *, request_id: str | None = None) -> None:
        super().__init__(
            f"{code}: {message}" + (f" (request {request_id})" if request_id else ""), reason=code
        )
        self.code = code
        self.request_id = request_id
