"""Guards against a policy that has collapsed, that drifted away from the SFT policy, or that cannot answer yet.

A policy that collapses or drifts stops the run, and the last good checkpoint stays. An SFT policy that cannot answer is
published as it is, with a warning, because there is nothing that GRPO could reward.
"""

from __future__ import annotations

from learntoask.core.errors import StageError
from learntoask.training.grpo.run import GrpoRun
from learntoask.training.grpo.samples import BatchFigures

COLLAPSED_SHARE = 0.8
"""Above this share of answers that never end, or that are the same sentence, a policy counts as collapsed."""
MIN_ANSWERS = 24  # in a smaller batch all answers may rightly be the same question


def check_output(figures: BatchFigures, *, answers: int, run: GrpoRun, update: int) -> str | None:
    """Return a warning when the sampled answers of the first batch show that the SFT policy cannot answer.

    `update` is the number of updates made so far. Raises StageError (CollapsedOutput) when those of a later batch show
    a collapsed policy. The baselines sample every batch from the SFT policy, which cannot collapse.
    """
    finding = _finding(figures, answers=answers)
    if finding is None:
        return None
    if not update:
        return (
            f"{run.title} made no update, because the SFT policy cannot answer yet: {finding}. The SFT policy is "
            "published unchanged; raise spec.train.sft.epochs or learningRate, or spec.train.maxNewTokens"
        )
    if run.train.method != "grpo":
        return None
    raise StageError(
        f"{run.title}, batch {update + 1}: {finding}; the policy has collapsed. The last good checkpoint is kept; "
        "lower spec.train.grpo.learningRate or raise klCoefficient",
        reason="CollapsedOutput",
    )


def _finding(figures: BatchFigures, *, answers: int) -> str | None:
    if figures.unfinished > COLLAPSED_SHARE:
        return f"{figures.unfinished:.0%} of the answers never end"
    if figures.commonest > COLLAPSED_SHARE and answers >= MIN_ANSWERS:
        return f"{figures.commonest:.0%} of the answers are the same sentence"
    return None


def check_kl(kl: float, *, run: GrpoRun, update: int) -> None:
    """Raise StageError (ExplodingKL) when `kl`, in nats a token, exceeds `spec.train.grpo.maxKl`."""
    limit = run.settings.max_kl
    if kl > limit:
        raise StageError(
            f"{run.title}, batch {update + 1}: the KL to the SFT policy is {kl:.2f} nats a token (allowed {limit}). "
            "The last good checkpoint is kept; lower spec.train.grpo.learningRate or raise "
            f"{'spec.train.dpo.beta' if run.train.method == 'dpo' else 'klCoefficient'}",
            reason="ExplodingKL",
        )
