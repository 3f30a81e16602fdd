"""The policy's prompt as chat messages: the same for training, evaluation and serving.

The system prompt depends on the task alone, and turns are only appended. The prompt of a context is therefore a prefix
of the prompt of every longer context of the same session, which session trees rely on (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypedDict

from pydantic.alias_generators import to_camel

from learntoask.core.assessment import INSTRUCTION, check_titles
from learntoask.core.pack import InformationField, Pack
from learntoask.core.records import STOP, Message
from learntoask.core.templates import render


@dataclass(frozen=True, slots=True)
class Context:
    """The input of a decision: a task of the pack, a goal that overrides the task's, and the conversation so far."""

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
    assess: bool = False,
) -> str:
    """Render the policy's system prompt for one task.

    `may_stop=False` leaves out the line about stopping (reward mode `ask_only`). `assess` appends the sentence that
    asks for an assessment (`train.assessment: fields`). Raises InputError for an invalid template.
    """
    task = pack.task(task_name)
    prompt = render(
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
    return f"{prompt}\n{INSTRUCTION}" if assess else prompt


def check_prompts(pack: Pack, *, assess: bool = False) -> None:
    """Render every prompt of the pack once for every task. Raises InputError that names the prompt at fault.

    With `assess` the names of the fields are checked, too.
    """
    if assess:
        check_titles(pack)
    for task in pack.tasks:
        for may_stop in (True, False):
            system_prompt(pack, task.name, may_stop=may_stop)
        for name in ("micro_goal", "macro_goal", "judge"):
            instructions(pack, name, task=task.name, goal=task.goal, fields=task.fields)


def instructions(
    pack: Pack,
    prompt: Literal["micro_goal", "macro_goal", "judge"],
    *,
    task: str,
    goal: str,
    fields: Iterable[InformationField],
) -> str:
    """Render the instructions of a language model for one task. Raises InputError for an invalid template."""
    return render(
        getattr(pack.prompts, prompt),
        where=f"pack {pack.name!r}, prompts.{to_camel(prompt)}",
        goal=goal,
        fields=list(fields),
        roles=pack.roles,
        task=task,
        language=pack.language,
    )


def conversation(messages: Iterable[Message]) -> list[ChatMessage]:
    """Merge consecutive messages of one role, and leave out empty messages."""
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
