"""Signs that the policy has collapsed or left the SFT policy: the run stops and keeps its last good checkpoint."""

from __future__ import annotations

from learntoask.core.errors import StageError
from learntoask.training.grpo.batch import BatchFigures
from learntoask.training.grpo.run import GrpoRun

COLLAPSED_SHARE = 0.8
"""Of a batch's answers that never end, or that are one and the same sentence: the policy has collapsed."""
MIN_ANSWERS = 24  # fewer may well be the same question


def check_output(seen: BatchFigures, *, answers: int, run: GrpoRun, update: int) -> None:
    """Raise StageError when the output of the policy that is sampled has collapsed."""
    findings = {
        f"{seen.unfinished:.0%} of the answers never end": seen.unfinished > COLLAPSED_SHARE,
        f"{seen.commonest:.0%} of the answers are the same sentence": seen.commonest > COLLAPSED_SHARE
        and answers >= MIN_ANSWERS,
    }
    for finding, present in findings.items():
        if present:
            raise StageError(
                f"{run.title}, batch {update + 1}: {finding}; "
                + (
                    "the policy has collapsed. The last good checkpoint is kept; lower "
                    "spec.train.grpo.learningRate or raise klCoefficient"
                    if update and run.method == "grpo"
                    else "the SFT policy itself cannot answer yet. Raise spec.train.sft.epochs or learningRate, or "
                    "spec.train.maxNewTokens"
                ),
                reason="CollapsedOutput",
            )


def check_kl(kl: float, *, run: GrpoRun, update: int) -> None:
    limit = run.settings.max_kl
    if kl > limit:
        raise StageError(
            f"{run.title}, batch {update + 1}: the KL to the SFT policy is {kl:.2f} nats a token (allowed {limit}). "
            "The last good checkpoint is kept; lower spec.train.grpo.learningRate or raise "
            f"{'spec.train.dpo.beta' if run.method == 'dpo' else 'klCoefficient'}",
            reason="ExplodingKL",
        )
