"""Revise a prompt of a language model, if the anchor accepts it."""

from __future__ import annotations

from learntoask.calibration.agreement import Judgement
from learntoask.calibration.revise.prompts import RevisablePrompt, prompt_of, revise_prompt
from learntoask.calibration.revise.proposals import proposer
from learntoask.calibration.steps.work import Work
from learntoask.core.pack import Pack


def accepted_prompt(
    work: Work, revisable: RevisablePrompt, pack: Pack, *, before: Judgement | None = None
) -> tuple[Pack, Judgement] | None:
    """Return the pack with the revised prompt, and what is found with it on the anchor; None if nothing is accepted.

    `before` is what is found with the pack's own prompt, if that is known of all turns. Raises StageError when no
    further request can succeed.
    """
    review, endpoint = work.review, work.settings.proposer
    propose = endpoint and proposer(work.context, endpoint, work.findings, reader=revisable.reader)
    revised = revise_prompt(
        revisable,
        pack=pack,
        show=review.of("show", kind=revisable.kind),
        search=review.of("search", kind=revisable.kind),
        propose=propose,
    )
    if revised is None:
        return None
    anchor = review.of("anchor", kind=revisable.kind)
    after = revisable.finds(revised.pack, anchor)
    accepted = work.anchor.accepts(
        revised.what,
        before=before or revisable.finds(pack, anchor),
        after=after,
        because=revised.because,
        kind=revisable.kind,
    )
    if not accepted:
        return None
    work.prompts[revisable.name] = prompt_of(revised.pack, revisable.name)
    return revised.pack, after
