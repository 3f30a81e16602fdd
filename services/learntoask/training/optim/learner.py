"""The learner: a model with its optimiser, from the scores of a micro-batch to the step of the weights.

`Learner` is plain PyTorch: every worker holds all weights and the workers sum their gradients.
`deepspeed.DeepSpeedLearner` has the same methods and divides the state among the workers instead. Both save the
trained weights by name and the state of a plain AdamW, so that a run may continue under either of them and with any
number of workers.

One update is: `forward` and `backward` for every micro-batch of `share`, then `step`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from learntoask.policy.precision import autocast
from learntoask.training.distributed.process_group import Workers
from learntoask.training.optim import checkpoint
from learntoask.training.optim.optimizer import adamw, apply_update
from learntoask.training.tree.layout import MicroBatch
from learntoask.training.tree.scoring import Scores, score

MAX_GRADIENT_NORM = 1.0

Share = TypeVar("Share")


class Learner:
    """`model` and its AdamW, on this worker's device."""

    can_retry = True
    """Whether an update that failed halfway can be discarded and computed again."""

    def __init__(
        self, model: PreTrainedModel, *, weight_decay: float, precision: torch.dtype, workers: Workers
    ) -> None:
        self.model = model
        self.workers = workers
        self._precision = precision
        self._optimiser = adamw(model, weight_decay=weight_decay)

    def share(self, micro_batches: Sequence[Share]) -> Iterator[tuple[Share, float, bool]]:
        """Yield this worker's micro-batches as (micro-batch, weight of its loss, whether it is the last)."""
        mine = self.workers.share(micro_batches)
        for index, micro_batch in enumerate(mine):
            yield micro_batch, 1.0, index == len(mine) - 1

    def forward(self, micro_batch: MicroBatch, *, temperature: float = 1.0) -> Scores:
        """Score the targets of `micro_batch`, with gradients, in the precision of the run."""
        with autocast(self._precision, self.model.device):
            return score(self.model, micro_batch, temperature=temperature)

    def backward(self, loss: Tensor, *, is_last: bool) -> None:
        """Add the gradients of `loss`. `is_last`: this worker has no further loss in this update."""
        loss.backward()

    def discard_gradients(self) -> None:
        """Forget the gradients of an update that was not completed."""
        self._optimiser.zero_grad(set_to_none=True)

    def step(self, *, rate: float, loss: float, update: int) -> float:
        """Sum the workers' gradients, clip them, update the weights and return the norm before clipping.

        Raises StageError (NonFiniteLoss) as `apply_update` does.
        """
        self.workers.all_reduce_gradients(self.model)
        return apply_update(
            self.model,
            self._optimiser,
            rate=rate,
            max_norm=MAX_GRADIENT_NORM,
            loss=loss,
            update=update,
        )

    def full_model(self) -> AbstractContextManager[None]:
        """Return a context in which `model` holds all its weights and can be used directly, e.g. to sample."""
        return nullcontext()

    def finish(self) -> None:
        """Leave the full model on every worker. No update may follow."""

    def weights(self) -> checkpoint.State:
        """Return the trained weights by name. The tensors change with the next step."""
        return checkpoint.weights(self.model)

    def load_weights(self, weights: checkpoint.State) -> None:
        """Set the trained weights to `weights`, which has the names of `weights()`."""
        checkpoint.restore_weights(self.model, weights)

    def optimiser_state(self) -> checkpoint.State:
        """Return the state of the optimiser in the format of a plain AdamW's `state_dict`."""
        return self._optimiser.state_dict()

    def load_optimiser_state(self, state: checkpoint.State) -> None:
        """Continue from `state`, which `optimiser_state` of this or another kind of learner returned."""
        self._optimiser.load_state_dict(state)


def copy_weights(weights: checkpoint.State) -> checkpoint.State:
    """Return copies that later steps do not change."""
    return {name: weight.clone() for name, weight in weights.items()}
