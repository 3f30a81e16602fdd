"""Conversations and answers as tokens.

Whoever writes one of the tokenizer's control tokens in a message must not open a turn of another role: they are taken
out of every message, alike in training and in serving.
"""

from __future__ import annotations

import re
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from learntoask.core.prompt import ChatMessage, conversation
from learntoask.core.records import STOP, Session


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, messages: list[ChatMessage]) -> tuple[int, ...]:
    """The context as the model reads it, up to where its answer begins."""
    control = _control_tokens(tokenizer)
    plain = [{**message, "content": control.sub(" ", message["content"])} for message in messages]
    text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    return tuple(tokenizer(text, add_special_tokens=False).input_ids)


def completion_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """An answer as the model writes it, its end-of-turn token included."""
    plain = _control_tokens(tokenizer).sub(" ", text)
    return (*tokenizer(plain, add_special_tokens=False).input_ids, tokenizer.eos_token_id)


def expert_answer(session: Session, turn: int) -> str:
    """What the policy should have said: the stop string at the session's stop, else the expert's own words."""
    if turn == session.stop_turn:
        return STOP
    span = session.turns[turn]
    said = conversation(session.messages[span.start : span.end])
    return said[0]["content"] if said else ""


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    added = tokenizer.added_tokens_decoder.values()
    control = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
    return re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or r"(?!)")
