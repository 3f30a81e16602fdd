"""A prompt of the pack, revised: bullets from a small library, then a rewrite by another model.

Both are compared by κ with people on `search` answers. What comes out is tested on the anchor by the stage. This module
decides; `finds` and `propose`, which it is given, send the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from learntoask.calibration.agreement import Judgement, pairs_with
from learntoask.calibration.answers import Answered
from learntoask.calibration.revise.guards import renders
from learntoask.core.pack import Pack
from learntoask.statistics.kappa import kappa

BULLETS = (
    "A message that repeats or confirms what is known already asks for nothing.",
    "A message can ask for several fields at once; list each of them.",
    "A request counts as asking, with or without a question mark.",
    "Small talk, thanks and offers of further help ask for none of the fields.",
    "List a field only if its value would answer the message, not because the message mentions it.",
    "If a message names possible values of a field to choose from, it asks for that field.",
)
_LEAST_GAIN = 0.01  # of κ on `search` answers

PromptName = Literal["judge", "micro_goal"]


@dataclass(frozen=True)
class RevisablePrompt:
    """A prompt of the pack that answers can revise.

    `reader` is who follows it. `finds` says which fields the reader finds in the turns of answered items with the
    prompts of a pack.
    """

    name: PromptName
    title: str
    reader: str
    finds: Callable[[Pack, Sequence[Answered]], Judgement]


@dataclass(frozen=True)
class Mistake:
    """An answered item on which the reader of a prompt differs from people, with what both found."""

    answered: Answered
    found: frozenset[str]
    right: frozenset[str]


@dataclass(frozen=True)
class Rewritten:
    """A prompt as another model has rewritten it."""

    text: str
    model: str


Propose = Callable[[str, Sequence[Mistake]], Rewritten | None]
"""Has a prompt rewritten by the mistakes that were made with it. None if the rewritten one is refused."""


@dataclass(frozen=True)
class RevisedPrompt:
    """A pack with a revised prompt, what was done, and the digests of the items that caused it."""

    pack: Pack
    what: str
    because: tuple[str, ...]


def with_prompt(pack: Pack, name: PromptName, text: str) -> Pack:
    """Return the pack with another prompt of this name."""
    return pack.model_copy(update={"prompts": pack.prompts.model_copy(update={name: text})})


def prompt_of(pack: Pack, name: PromptName) -> str:
    return str(getattr(pack.prompts, name))


def revise_prompt(
    revisable: RevisablePrompt,
    *,
    pack: Pack,
    show: Sequence[Answered],
    search: Sequence[Answered],
    propose: Propose | None,
) -> RevisedPrompt | None:
    """Return the prompt with the highest κ on `search`, or None if no candidate gains .01 of κ.

    `show` and `search` are answered items of kind `asks_for`; `propose` rewrites the prompt by the mistakes on `show`.
    Raises StageError when no further request can succeed.
    """
    if not search:
        return None
    given = prompt_of(pack, revisable.name)

    def changed(text: str) -> Pack:
        return with_prompt(pack, revisable.name, text)

    def kappa_of(text: str) -> float:
        return float(kappa(pairs_with(search, revisable.finds(changed(text), search)).tables().sum(axis=0)))

    text, best, chosen = choose_bullets(given, BULLETS, kappa_of)
    what = f"{revisable.title}: {len(chosen)} bullets ({' '.join(chosen)})"
    because = sorted(one.digest for one in search)
    mistakes = mistakes_of(revisable.finds(changed(text), show), show) if propose is not None else []
    rewritten = propose(text, mistakes) if propose is not None and mistakes else None
    if (
        rewritten is not None
        and renders(changed(rewritten.text))
        and kappa_of(rewritten.text) >= best + _LEAST_GAIN
    ):
        text = rewritten.text
        what = f"{revisable.title}: rewritten by {rewritten.model}"
        because = sorted(one.answered.digest for one in mistakes)
    return RevisedPrompt(changed(text), what, tuple(because)) if text != given else None


def choose_bullets(
    prompt: str, bullets: Sequence[str], kappa_of: Callable[[str], float]
) -> tuple[str, float, list[str]]:
    """Add each bullet that gains .01 of κ to those before it. Return the prompt, its κ, and the bullets chosen."""
    best, chosen = kappa_of(prompt), list[str]()
    for bullet in bullets:
        tried = f"{prompt}\n- {bullet}"
        found = kappa_of(tried)
        if found >= best + _LEAST_GAIN:
            prompt, best, chosen = tried, found, [*chosen, bullet]
    return prompt, best, chosen


def mistakes_of(judge: Judgement, answered: Sequence[Answered]) -> list[Mistake]:
    """Return the answered items on which a judge differs from what people agree on."""
    found = [(one, judge((one.item.origin.session_id, one.item.origin.turn))) for one in answered]
    return [
        Mistake(one, asked, one.chosen)
        for one, asked in found
        if asked is not None and one.chosen is not None and asked != one.chosen
    ]
