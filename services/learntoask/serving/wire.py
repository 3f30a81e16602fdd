"""Requests of AskService as records of the core: what policy server and gateway read alike."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from pydantic import TypeAdapter

from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import Author, Message, Role
from learntoask.rpc.requests import InvalidRequest
from learntoask.serving import input_checks as validation
from learntoask.wire import ask_pb2 as wire

_ROLES: dict[int, Role] = {wire.ROLE_USER: "user", wire.ROLE_ASSISTANT: "assistant"}
_AUTHORS: dict[int, Author] = {
    wire.AUTHOR_USER: "user",
    wire.AUTHOR_EXPERT: "expert",
    wire.AUTHOR_POLICY: "policy",
}


_MESSAGES = TypeAdapter(list[Message])


@lru_cache(maxsize=64)  # any number can come
def _speaker(role: int, author: int) -> tuple[Role, Author]:
    return validation.checked_speaker(_ROLES.get(role), _AUTHORS.get(author))


class Reader:
    """All methods raise InvalidRequest, naming the field as the caller wrote it."""

    def __init__(self, pack: Pack, limits: validation.Limits) -> None:
        self._pack = pack
        self._limits = limits

    def messages(self, field: str, messages: Iterable[wire.Message]) -> list[Message]:
        messages = list(messages)
        validation.check_count(field, len(messages), self._limits)
        checked: list[dict[str, object]] = []
        try:
            for message in messages:
                role, author = _speaker(message.role, message.author)
                content = message.content
                validation.check_size("content", content, self._limits)
                checked.append({"role": role, "content": content, "author": author})
        except InvalidRequest as error:
            raise InvalidRequest(f"{field}[{len(checked)}].{error.field}", error.finding) from None
        return _MESSAGES.validate_python(checked)  # one by one takes half as long again

    def user_message(self, event: wire.ConverseRequest) -> Message:
        if event.WhichOneof("event") != "user_message":
            raise InvalidRequest("event", "a stream is opened once; send user_message from then on")
        validation.check_size("user_message", event.user_message, self._limits)
        return Message(role="user", content=event.user_message, author="user")

    def subject(self, messages: list[Message], *, task: str, goal: str, field: str | None = None) -> Context:
        """The context to decide on; with `field`, it must be answerable."""
        validation.check_size("goal", goal, self._limits)
        subject = validation.context_of(
            messages, task=validation.checked_task(task, self._pack), goal=goal, pack=self._pack
        )
        if field is not None:
            validation.check_count(field, len(subject.messages), self._limits)
            validation.check_length(field, subject.messages, self._limits)
            validation.check_answerable(subject.messages, field=field)
        return subject


def opening(event: wire.ConverseRequest) -> wire.ConverseRequest.Open:
    """What the first request of a stream must be."""
    if event.WhichOneof("event") != "open":
        raise InvalidRequest("event", "the first request of a stream is open; send it before user_message")
    return event.open
