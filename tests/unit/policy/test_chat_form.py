"""Conversations are rendered in the nearest form that a base's chat template takes, and a prompt grows by appending."""

from __future__ import annotations

from pathlib import Path

import pytest
from learntoask.core.errors import InputError
from learntoask.core.prompt import ChatMessage, conversation
from learntoask.core.records import Message
from learntoask.policy.chat_form import chat_form
from learntoask.policy.prompt import prompt_tokens
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

STRICT = (Path(__file__).parents[2] / "data/cases/greeting-first/chat_template.jinja").read_text(
    encoding="utf-8"
)
PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + PLAIN
NO_SYSTEM_AND_STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}" + NO_SYSTEM
)
NO_EMPTY_TURN = (
    "{% for m in messages %}{% if not m.content %}{{ raise_exception('empty') }}{% endif %}{% endfor %}"
    + STRICT
)
LOSES_THE_GREETING = (
    "{% for m in messages %}{% if not (m.role == 'assistant' and loop.index0 < 2) %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SYSTEM: ChatMessage = {"role": "system", "content": "Goal: book a repair."}
GREETING: ChatMessage = {"role": "assistant", "content": "Hello, how can I help?"}
TURNS: list[ChatMessage] = [
    {"role": "user", "content": "my brakes squeal"},
    {"role": "assistant", "content": "What kind of bike is it?"},
    {"role": "user", "content": "a city bike"},
]


def tokenizer(template: str) -> PreTrainedTokenizerFast:
    alphabet = ["<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({symbol: index for index, symbol in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(alphabet[:2])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", chat_template=template)


@pytest.mark.parametrize(
    ("template", "user_first", "expert_first"),
    [
        (PLAIN, "as it is", "as it is"),
        (STRICT, "as it is", "after an empty turn of the user"),
        (
            NO_SYSTEM,
            "with the system prompt in the user's first turn",
            "with the system prompt in the user's first turn",
        ),
        (
            NO_SYSTEM_AND_STRICT,
            "with the system prompt in the user's first turn",
            "with the system prompt in the user's first turn",
        ),
        (NO_EMPTY_TURN, "as it is", "with the system prompt in the user's first turn"),
        (LOSES_THE_GREETING, "as it is", "after an empty turn of the user"),
    ],
)
@pytest.mark.parametrize("opening", [[], [GREETING]])
def test_a_conversation_keeps_its_texts_and_grows_by_appending(
    template: str, user_first: str, expert_first: str, opening: list[ChatMessage]
) -> None:
    base = tokenizer(template)
    form = chat_form(base, expert_first=bool(opening))
    assert form is not None
    assert form.name == (expert_first if opening else user_first)
    whole = [SYSTEM, *opening, *TURNS]
    tokens = prompt_tokens(base, whole)
    text = base.decode(tokens)
    assert [text.count(message["content"]) for message in whole] == [1] * len(whole)
    assert text.endswith("<|im_start|>assistant\n")
    earlier = prompt_tokens(base, whole[:-2])
    assert tokens[: len(earlier)] == earlier


@pytest.mark.parametrize("first", ["user", "assistant"])
def test_neighbours_of_one_role_are_one_turn_for_a_template_that_wants_roles_to_alternate(first: str) -> None:
    said = [(first, "hello"), (first, "it is me"), *[(turn["role"], turn["content"]) for turn in TURNS[1:]]]
    if first == "assistant":
        said[2:2] = [("user", "my brakes squeal"), ("user", "and it drops its chain")]
    messages = [
        Message(role=role, content=text, author="expert" if role == "assistant" else "user")  # type: ignore[arg-type]
        for role, text in said
    ]
    base = tokenizer(STRICT)
    text = base.decode(prompt_tokens(base, [SYSTEM, *conversation(messages)]))
    assert "hello\nit is me" in text
    assert [text.count(message.content) for message in messages] == [1] * len(messages)


def test_what_a_template_takes_in_no_form_is_refused_with_what_to_do() -> None:
    base = tokenizer(NO_EMPTY_TURN.replace("ns.next = 'assistant'", "ns.next = 'nobody'"))
    assert chat_form(base, expert_first=True) is None
    with pytest.raises(InputError, match=r"refuses the conversation: .*use another base") as caught:
        prompt_tokens(base, [SYSTEM, GREETING, *TURNS])
    assert (caught.value.reason, caught.value.retryable) == ("ChatTemplateRefuses", False)


def test_a_template_that_refuses_only_openings_says_to_leave_them_out() -> None:
    base = tokenizer(
        "{% for m in messages %}{% if m.role == 'assistant' and loop.index0 < 2 or not m.content %}"
        "{{ raise_exception('no') }}{% endif %}{% endfor %}" + PLAIN
    )
    prompt_tokens(base, [SYSTEM, *TURNS])
    with pytest.raises(InputError, match="leave the experts' opening messages out of the logs"):
        prompt_tokens(base, [SYSTEM, GREETING, *TURNS])
