"""The trunks of a session: its rendered tokens, and where each context ends in them.

A rendered context is normally a token prefix of the rendered session, since turns are only appended. A context that is
no prefix (see `policy.prompt.group_by_prefix`) gets another trunk, which its completions still share; such fallbacks
are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.core.prompt import Context, conversation
from learntoask.core.records import Session
from learntoask.policy.prompt import PromptRenderer, group_by_prefix, prompt_tokens


@dataclass(frozen=True)
class ContextEnd:
    """The context of `Session.turns[turn]` is the first `attach` tokens of its trunk."""

    turn: int
    attach: int


@dataclass(frozen=True)
class RenderedTrunk:
    """The tokens of the longest context, and the ends of all contexts in them, ordered by turn."""

    tokens: tuple[int, ...]
    contexts: tuple[ContextEnd, ...]


@dataclass(frozen=True)
class Rendering:
    """A rendered session, nearly always with one trunk. `cut` contexts were too long and lost their oldest turns."""

    trunks: tuple[RenderedTrunk, ...]
    cut: int

    @property
    def fallbacks(self) -> int:
        """Trunks beyond the first, which hold contexts that are no prefix of the session's longest."""
        return max(0, len(self.trunks) - 1)


def render_session(policy: PromptRenderer, session: Session, *, turns: Sequence[int]) -> Rendering:
    """Return trunks that hold the contexts of `turns`."""
    system = policy.system_message(session.task, session.goal)
    latest_first = sorted(turns, reverse=True)
    contexts: list[tuple[int, ...]] = []
    cut = 0
    for turn in latest_first:
        messages = session.messages[: session.turns[turn].start]
        tokens = prompt_tokens(policy.tokenizer, [system, *conversation(messages)])
        if len(tokens) > policy.limits.max_prompt_tokens:
            tokens = policy.context_tokens(Context(session.task, session.goal, messages))
            cut += 1
        contexts.append(tokens)
    trunks = (
        RenderedTrunk(
            contexts[group[0]],
            tuple(ContextEnd(latest_first[index], len(contexts[index])) for index in reversed(group)),
        )
        for group in group_by_prefix(contexts)
    )
    return Rendering(tuple(trunks), cut)
