"""Conversations and answers as tokens."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from learntoask.core.prompt import ChatMessage, conversation
from learntoask.core.records import STOP, Session


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, messages: list[ChatMessage]) -> tuple[int, ...]:
    """The context as the model reads it, up to where its answer begins."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tuple(tokenizer(text, add_special_tokens=False).input_ids)


def completion_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """An answer as the model writes it, its end-of-turn token included."""
    return (*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id)


def expert_answer(session: Session, turn: int) -> str:
    """What the policy should have said: the stop string at the session's stop, else the expert's own words."""
    if turn == session.stop_turn:
        return STOP
    span = session.turns[turn]
    said = conversation(session.messages[span.start : span.end])
    return said[0]["content"] if said else ""
