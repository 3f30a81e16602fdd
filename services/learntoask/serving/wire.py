"""Reads AskService requests into the core's records, for the policy server and for the gateway's records."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from pydantic import TypeAdapter

from learntoask.client.wire import AUTHORS, ROLES
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import Author, Message, Role
from learntoask.rpc.requests import InvalidRequest, check_bytes
from learntoask.serving import input_checks
from learntoask.wire import ask_pb2 as wire

_MESSAGES = TypeAdapter(list[Message])


@lru_cache(maxsize=64)  # bounded, because a request can hold any numbers
def _speaker(role: wire.Role, author: wire.Author) -> tuple[Role, Author]:
    return input_checks.checked_speaker(ROLES.get(role), AUTHORS.get(author))


class RequestReader:
    """Converts and checks requests. All methods raise InvalidRequest with the field's path in the request."""

    def __init__(self, pack: Pack, limits: input_checks.ConversationLimits) -> None:
        self._pack = pack
        self._limits = limits

    def messages(self, field: str, messages: Iterable[wire.Message]) -> list[Message]:
        """Convert the messages of `field`."""
        messages = list(messages)
        input_checks.check_count(field, len(messages), self._limits)
        checked: list[dict[str, object]] = []
        try:
            for message in messages:
                role, author = _speaker(message.role, message.author)
                content = message.content
                check_bytes("content", content, most=self._limits.max_message_bytes)
                checked.append({"role": role, "content": content, "author": author})
        except InvalidRequest as error:
            raise InvalidRequest(f"{field}[{len(checked)}].{error.field}", error.finding) from None
        return _MESSAGES.validate_python(checked)  # validating them one by one takes half as long again

    def user_message(self, event: wire.ConverseRequest) -> Message:
        """Convert a stream's later request."""
        content = user_message(event, max_bytes=self._limits.max_message_bytes)
        return Message(role="user", content=content, author="user")

    def context(
        self, messages: list[Message], *, task: str, goal: str, answerable_field: str | None = None
    ) -> Context:
        """Make the context to decide on. With `answerable_field`, the path of `messages`, also check that it can be
        answered."""
        check_bytes("goal", goal, most=self._limits.max_message_bytes)
        task = input_checks.checked_task(task, self._pack)
        context = input_checks.context_of(messages, task=task, goal=goal, pack=self._pack)
        if answerable_field is not None:
            input_checks.check_count(answerable_field, len(context.messages), self._limits)
            input_checks.check_length(answerable_field, context.messages, self._limits)
            input_checks.check_answerable(context.messages, field=answerable_field)
        return context


def opening(event: wire.ConverseRequest) -> wire.ConverseRequest.Open:
    """Return the opening that the first request of a stream must hold. Raises InvalidRequest."""
    if event.WhichOneof("event") != "open":
        raise InvalidRequest("event", "the first request of a stream is open; send it before user_message")
    return event.open


def user_message(event: wire.ConverseRequest, *, max_bytes: int) -> str:
    """Return the user's message that every later request of a stream must hold. Raises InvalidRequest."""
    if event.WhichOneof("event") != "user_message":
        raise InvalidRequest("event", "a stream is opened once; send user_message from then on")
    check_bytes("user_message", event.user_message, most=max_bytes)
    return event.user_message
