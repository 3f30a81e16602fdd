"""Guards that stop a run when its policy has collapsed or drifted away from the SFT policy.

The last good checkpoint stays.
"""

from __future__ import annotations

from learntoask.core.errors import StageError
from learntoask.training.grpo.run import GrpoRun
from learntoask.training.grpo.samples import BatchFigures

COLLAPSED_SHARE = 0.8
"""Above this share of answers that never end, or that are the same sentence, a policy counts as collapsed."""
MIN_ANSWERS = 24  # in a smaller batch all answers may rightly be the same question


def check_output(figures: BatchFigures, *, answers: int, run: GrpoRun, update: int) -> None:
    """Raise StageError (CollapsedOutput) when the sampled answers of a batch show a collapsed policy."""
    findings = {
        f"{figures.unfinished:.0%} of the answers never end": figures.unfinished > COLLAPSED_SHARE,
        f"{figures.commonest:.0%} of the answers are the same sentence": figures.commonest > COLLAPSED_SHARE
        and answers >= MIN_ANSWERS,
    }
    for finding, present in findings.items():
        if present:
            raise StageError(
                f"{run.title}, batch {update + 1}: {finding}; "
                + (
                    "the policy has collapsed. The last good checkpoint is kept; lower "
                    "spec.train.grpo.learningRate or raise klCoefficient"
                    if update and run.train.method == "grpo"
                    else "the SFT policy itself cannot answer yet. Raise spec.train.sft.epochs or learningRate, or "
                    "spec.train.maxNewTokens"
                ),
                reason="CollapsedOutput",
            )


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
