"""Pure checks of requests. Every error names the field at fault and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import STOP, Author, Message, Role
from learntoask.core.text.characters import clean_text
from learntoask.core.text.html import text_of_html
from learntoask.rpc.requests import InvalidRequest, byte_length


@dataclass(frozen=True, slots=True)
class ConversationLimits:
    """Bounds on the number of messages, bytes of one message and bytes of all messages."""

    max_messages: int
    max_message_bytes: int
    max_conversation_bytes: int


def checked_speaker(role: Role | None, author: Author | None) -> tuple[Role, Author]:
    """Return role and author of a message; None means unspecified or unknown.

    An unspecified author is the role's usual one. Raises InvalidRequest for a pair that cannot be.
    """
    if role is None:
        raise InvalidRequest("role", "unspecified or unknown; set ROLE_USER or ROLE_ASSISTANT")
    if author is None:
        return role, "user" if role == "user" else "policy"
    if (author == "user") != (role == "user"):
        raise InvalidRequest(
            "author", f"a message of role {role} cannot be written by {author}; leave it unspecified"
        )
    return role, author


def check_count(field: str, count: int, limits: ConversationLimits) -> None:
    """Raises InvalidRequest for too many messages."""
    if count > limits.max_messages:
        raise InvalidRequest(
            field, f"{count} messages, at most {limits.max_messages} are read; begin a new conversation"
        )


def check_length(field: str, messages: Sequence[Message], limits: ConversationLimits) -> None:
    """Raises InvalidRequest for too many bytes: a policy reads far fewer, and parsing them costs time."""
    if sum(len(message.content) for message in messages) * 4 <= limits.max_conversation_bytes:
        return
    size = sum(byte_length(message.content) for message in messages)
    if size > limits.max_conversation_bytes:
        raise InvalidRequest(
            field,
            f"{size} bytes in all, at most {limits.max_conversation_bytes} are read; begin a new conversation",
        )


def checked_task(name: str, pack: Pack) -> str:
    """Return the task's name, or the pack's default for an empty one. Raises InvalidRequest for an unknown task."""
    if not name:
        if pack.default_task is None:
            raise InvalidRequest("task", f"not given and pack {pack.name!r} has no default; {_known(pack)}")
        return pack.default_task
    if name not in pack.task_by_name:
        raise InvalidRequest("task", f"{name[:80]!r} is not in pack {pack.name!r}; {_known(pack)}")
    return name


def check_answerable(messages: tuple[Message, ...], *, field: str) -> None:
    """Raises InvalidRequest unless the last message is the user's and is not empty."""
    if not messages:
        raise InvalidRequest(field, "no messages; send the whole conversation, the user's message last")
    if messages[-1].role != "user":
        raise InvalidRequest(
            f"{field}[{len(messages) - 1}].role",
            "the last message is the assistant's; send the user's answer to it too",
        )
    if not messages[-1].content.strip():
        raise InvalidRequest(f"{field}[{len(messages) - 1}].content", "the user's last message is empty")


def context_of(messages: Iterable[Message], *, task: str, goal: str, pack: Pack) -> Context:
    """Return the context that the policy reads: cleaned and without end markers, as training read the logs."""
    kept, markers = tuple(map(_cleaned, messages)), (*pack.end_markers, STOP)
    text = "\n".join([message.content for message in kept])
    if any(marker in text for marker in markers):  # searching each message costs more than one search of all
        kept = tuple(_without(message, _any_of(markers)) for message in kept)
    return Context(task, goal or None, kept)


def _cleaned(message: Message) -> Message:
    content = clean_text(text_of_html(message.content))
    return message if content is message.content else message.model_copy(update={"content": content})


def _without(message: Message, markers: re.Pattern[str]) -> Message:
    content = message.content
    while markers.search(content):  # removing a marker can join its neighbours into another one
        content = markers.sub("", content)
    return message if content is message.content else message.model_copy(update={"content": content.strip()})


@cache
def _any_of(markers: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, markers)))


def _known(pack: Pack) -> str:
    names = sorted(pack.task_by_name)
    more = f" and {len(names) - 8} more (GetServerInfo lists them)" if len(names) > 8 else ""
    return f"known tasks: {', '.join(names[:8])}{more}"
