"""The form in which a base's chat template takes a conversation.

Some templates refuse a conversation that the assistant opens, or a system message. Such a conversation is rendered in
the nearest form that the template takes. The form follows from the template alone, by two probes, so training,
evaluation and serving render alike, and a turn that is appended later changes nothing before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from learntoask.core.errors import InputError
from learntoask.core.prompt import ChatMessage


class ChatForm(NamedTuple):
    """A form of conversations. `name` says what differs from the conversation as it is."""

    name: str
    apply: Callable[[Sequence[ChatMessage]], list[ChatMessage]]


def _opened_by_user(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    first = next((index for index, message in enumerate(messages) if message["role"] != "system"), 0)
    if messages[first]["role"] != "assistant":
        return list(messages)
    return [*messages[:first], {"role": "user", "content": ""}, *messages[first:]]


def _system_in_user_turn(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    system, *turns = messages
    if system["role"] != "system":
        return list(messages)
    if turns and turns[0]["role"] == "user":
        joined: ChatMessage = {"role": "user", "content": f"{system['content']}\n\n{turns[0]['content']}"}
        return [joined, *turns[1:]]
    return [{"role": "user", "content": system["content"]}, *turns]


AS_IT_IS = ChatForm("as it is", list)
FORMS = (
    AS_IT_IS,
    ChatForm("after an empty turn of the user", _opened_by_user),
    ChatForm("with the system prompt in the user's first turn", _system_in_user_turn),
)
_SYSTEM: ChatMessage = {"role": "system", "content": "ask"}
_USER: ChatMessage = {"role": "user", "content": "no"}
_ASSISTANT: ChatMessage = {"role": "assistant", "content": "yes"}
_PROBES = {
    False: [_SYSTEM, _USER, _ASSISTANT, _USER],
    True: [_SYSTEM, _ASSISTANT, _USER, _ASSISTANT, _USER],
}
# What templates raise: raise_exception raises TemplateError, and a template's own mistakes the others.
_FAULTS = (TemplateError, TypeError, ValueError, KeyError, AttributeError)


def render_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True
) -> str:
    """Return the conversation as the base's template writes it, in the nearest form that the template takes.

    Raises InputError, with what to do, where the template takes none.
    """
    expert_first = _expert_first(messages)
    form = chat_form(tokenizer, expert_first=expert_first)
    try:
        return _render(
            (form or AS_IT_IS).apply(messages), tokenizer, add_generation_prompt=add_generation_prompt
        )
    except _FAULTS as error:
        remedy = "use another base, or another chat_template.jinja in its folder"
        if expert_first and chat_form(tokenizer, expert_first=False) is not None:
            remedy += ", or leave the experts' opening messages out of the logs"
        raise InputError(
            f"the base model's chat template refuses the conversation: {error}; {remedy}",
            reason="ChatTemplateRefuses",
        ) from error


@lru_cache(maxsize=16)
def chat_form(tokenizer: PreTrainedTokenizerBase, *, expert_first: bool) -> ChatForm | None:
    """Return the first form in which the template takes a conversation and keeps all its texts; None without one.

    `expert_first`: the conversation is one that the expert opens.
    """
    for form in FORMS:
        messages = form.apply(_PROBES[expert_first])
        try:
            text = _render(messages, tokenizer, add_generation_prompt=True)
        except _FAULTS:
            continue
        if _holds_in_order(text, [message["content"] for message in messages]):
            return form
    return None


def _expert_first(messages: Sequence[ChatMessage]) -> bool:
    turns = (message["role"] for message in messages if message["role"] != "system")
    return next(turns, "user") == "assistant"


def _render(
    messages: Sequence[ChatMessage], tokenizer: PreTrainedTokenizerBase, *, add_generation_prompt: bool
) -> str:
    return str(
        tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    )


def _holds_in_order(text: str, contents: Sequence[str]) -> bool:
    position = 0
    for content in contents:
        found = text.find(content, position)
        if found < 0:
            return False
        position = found + len(content)
    return True
