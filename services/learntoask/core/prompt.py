"""What the policy reads: one rendering for training, evaluation and serving, so that they cannot drift apart.

The system prompt depends on the task alone and turns only ever append, so the rendering of a context is a prefix of
the rendering of every longer context of the session. Session trees (docs/method.md) rest on that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from learntoask.core.pack import Pack
from learntoask.core.records import STOP, Message
from learntoask.core.templates import render


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision is taken on: a task of the pack, a goal that overrides the task's, the conversation so far."""

    task: str
    goal: str | None
    messages: tuple[Message, ...]


class ChatMessage(TypedDict):
    role: Literal["system", "user", "assistant"]
    content: str


def system_prompt(
    pack: Pack,
    task_name: str,
    *,
    goal: str | None = None,
    may_stop: bool = True,
) -> str:
    """The policy's system prompt for one task.

    `may_stop=False` leaves the stop line out (reward mode `ask_only`). Raises InputError on a faulty template.
    """
    task = pack.task(task_name)
    return render(
        pack.prompts.policy,
        where=f"pack {pack.name!r}, prompts.policy",
        goal=goal or task.goal,
        fields=list(task.fields),
        roles=pack.roles,
        stopping=pack.stopping,
        stop=STOP,
        may_stop=may_stop,
        task=task.name,
    )


def conversation(messages: Iterable[Message]) -> list[ChatMessage]:
    """Merge bursts into turns and skip messages that stripping left empty."""
    turns: list[ChatMessage] = []
    for message in messages:
        text = message.content.strip()
        if not text:
            continue
        if turns and turns[-1]["role"] == message.role:
            turns[-1] = {"role": message.role, "content": turns[-1]["content"] + "\n" + text}
        else:
            turns.append({"role": message.role, "content": text})
    return turns


def policy_messages(
    pack: Pack, task_name: str, messages: Sequence[Message], *, goal: str | None = None, may_stop: bool = True
) -> list[ChatMessage]:
    """The whole context as the policy sees it: system prompt, then every turn so far."""
    system: ChatMessage = {
        "role": "system",
        "content": system_prompt(pack, task_name, goal=goal, may_stop=may_stop),
    }
    return [system, *conversation(messages)]
