"""The trunks of a session: its rendered tokens, and where each context ends in them.

A rendered context is normally a token prefix of the rendered session, since turns only ever append. Where it is not
(a chat template that rewrites earlier turns, an expert turn without a word, which merges two user turns, a context cut
to fit), that context gets a trunk of its own, which its completions still share; such contexts are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.core.prompt import ChatMessage, Context, conversation, system_prompt
from learntoask.core.records import Session
from learntoask.policy.prompt import PromptRenderer, prompt_tokens


@dataclass(frozen=True)
class ContextEnd:
    """Context of `Session.turns[turn]` is the first `attach` tokens of its trunk."""

    turn: int
    attach: int


@dataclass(frozen=True)
class RenderedTrunk:
    tokens: tuple[int, ...]
    contexts: tuple[ContextEnd, ...]


@dataclass(frozen=True)
class Rendering:
    """`trunks` is one trunk for nearly every session; `cut` contexts were too long and lost their oldest turns."""

    trunks: tuple[RenderedTrunk, ...]
    cut: int

    @property
    def fallbacks(self) -> int:
        """Trunks beyond the first: contexts that are no prefix of the session's longest."""
        return max(0, len(self.trunks) - 1)


def render_session(
    policy: PromptRenderer,
    session: Session,
    *,
    turns: Sequence[int],
) -> Rendering:
    """Trunks that hold the contexts of `turns`."""
    system: ChatMessage = {
        "role": "system",
        "content": system_prompt(
            policy.pack, session.task, goal=session.goal, may_stop=policy.limits.may_stop
        ),
    }
    grown: list[tuple[tuple[int, ...], list[ContextEnd]]] = []
    cut = 0
    for turn in sorted(turns, reverse=True):
        said = session.messages[: session.turns[turn].start]
        tokens = prompt_tokens(policy.tokenizer, [system, *conversation(said)])
        if len(tokens) > policy.limits.max_prompt_tokens:
            tokens = policy.context_tokens(Context(session.task, session.goal, said))
            cut += 1
        end = ContextEnd(turn=turn, attach=len(tokens))
        for trunk, contexts in grown:
            if trunk[: len(tokens)] == tokens:
                contexts.append(end)
                break
        else:
            grown.append((tokens, [end]))
    return Rendering(
        trunks=tuple(RenderedTrunk(tokens, tuple(reversed(contexts))) for tokens, contexts in grown), cut=cut
    )
