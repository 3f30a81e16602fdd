"""Revise a prompt of a language model, if the anchor accepts it."""

from __future__ import annotations

from learntoask.calibration.agreement import Judgement
from learntoask.calibration.revise.prompts import RevisablePrompt, prompt_of, revise_prompt
from learntoask.calibration.revise.proposals import proposer
from learntoask.calibration.steps.work import Work
from learntoask.core.pack import Pack


def accepted_prompt(
    work: Work, revisable: RevisablePrompt, *, before: Judgement | None = None
) -> tuple[Pack, Judgement] | None:
    """Return the pack of the run with the revised prompt, and what is found with it on the anchor; None if no revision
    is accepted.

    `before` is what is found with the prompt of the run, if that is known of every turn. Raises StageError when no
    further request can succeed.
    """
    pack, endpoint = work.context.pack, work.settings.proposer
    journal = work.context.work / "proposals.jsonl"
    propose = (
        proposer(endpoint, work.findings, reader=revisable.reader, journal=journal)
        if endpoint is not None
        else None
    )
    revised = revise_prompt(
        revisable,
        pack=pack,
        show=work.learned("show", kind="asks_for"),
        search=work.learned("search", kind="asks_for"),
        propose=propose,
    )
    if revised is None:
        return None
    anchor = work.review.of("anchor", kind="asks_for")
    after = revisable.finds(revised.pack, anchor)
    accepted = work.anchor.accepts(
        revised.what,
        before=before or revisable.finds(pack, anchor),
        after=after,
        because=revised.because,
    )
    if not accepted:
        return None
    work.prompts[revisable.name] = prompt_of(revised.pack, revisable.name)
    return revised.pack, after
