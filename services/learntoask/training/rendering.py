"""From sessions to trunks: the tokens of a rendered session and where each context ends in it.

A rendered context is normally a token prefix of the rendered session, since turns only ever append. Where it is not
(a chat template that rewrites earlier turns, an expert turn without a word, which merges two user turns), that context
gets a trunk of its own, which its completions still share; such contexts are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from learntoask.core.pack import InformationField, Pack
from learntoask.core.prompt import ChatMessage, conversation, system_prompt
from learntoask.core.records import STOP, Session


@dataclass(frozen=True)
class ContextEnd:
    """Context of `Session.turns[turn]` is the first `attach` tokens of its trunk."""

    turn: int
    attach: int


@dataclass(frozen=True)
class Trunk:
    tokens: tuple[int, ...]
    contexts: tuple[ContextEnd, ...]


@dataclass(frozen=True)
class Rendering:
    """`trunks` is one trunk for nearly every session; `too_long` are the turns whose context passes the bound."""

    trunks: tuple[Trunk, ...]
    too_long: tuple[int, ...]

    @property
    def fallbacks(self) -> int:
        """Trunks beyond the first: contexts that are no prefix of the session's longest."""
        return max(0, len(self.trunks) - 1)


def render_session(
    tokenizer: PreTrainedTokenizerBase,
    pack: Pack,
    session: Session,
    *,
    turns: Sequence[int],
    max_prompt_tokens: int,
    may_stop: bool = True,
    fields: Sequence[InformationField] | None = None,
) -> Rendering:
    """Trunks that hold the contexts of `turns`. `fields` overrides the order of the task's fields in the prompt."""
    system: ChatMessage = {
        "role": "system",
        "content": system_prompt(pack, session.task, goal=session.goal, may_stop=may_stop, fields=fields),
    }
    grown: list[tuple[tuple[int, ...], list[ContextEnd]]] = []
    too_long = []
    for turn in sorted(turns, reverse=True):
        messages = [system, *conversation(session.messages[: session.turns[turn].start])]
        tokens = prompt_tokens(tokenizer, messages)
        if len(tokens) > max_prompt_tokens:
            too_long.append(turn)
            continue
        end = ContextEnd(turn=turn, attach=len(tokens))
        for trunk, contexts in grown:
            if trunk[: len(tokens)] == tokens:
                contexts.append(end)
                break
        else:
            grown.append((tokens, [end]))
    return Rendering(
        trunks=tuple(Trunk(tokens, tuple(reversed(contexts))) for tokens, contexts in grown),
        too_long=tuple(sorted(too_long)),
    )


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
