"""A model that is being trained: scores with gradients, the step, and a state that any number of workers continue from.

`Learner` is plain PyTorch: every worker holds everything and the gradients are summed. `zero.ZeroUpdating` leaves the
same to DeepSpeed. Both save the weights by name and the state of a plain AdamW, so that a run continues under either,
with any number of workers.
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

Row = TypeVar("Row")


class Learner:
    """`model` with its optimiser, on this worker's device."""

    repeats = True
    """Whether an update that failed halfway can be discarded and computed again."""

    def __init__(
        self, model: PreTrainedModel, *, weight_decay: float, precision: torch.dtype, workers: Workers
    ) -> None:
        self.model = model
        self.workers = workers
        self._precision = precision
        self._optimiser = adamw(model, weight_decay=weight_decay)

    def share(self, rows: Sequence[Row]) -> Iterator[tuple[Row, float, bool]]:
        """This worker's rows, each with what its loss counts (1) and whether it is the last."""
        mine = self.workers.share(rows)
        for index, row in enumerate(mine):
            yield row, 1.0, index == len(mine) - 1

    def scores(self, row: MicroBatch, *, temperature: float = 1.0) -> Scores:
        with autocast(self._precision, self.model.device):
            return score(self.model, row, temperature=temperature)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradient of `loss`; `last`: no other of this update follows on this worker."""
        loss.backward()

    def discard(self) -> None:
        """Forget the gradients of an update that did not come to its end."""
        self._optimiser.zero_grad(set_to_none=True)

    def apply(self, *, rate: float, loss: float, update: int) -> float:
        """Clip, step, forget the gradients; returns their norm. Raises StageError as `apply_update` does."""
        self.workers.all_reduce_gradients(self.model)
        return apply_update(
            self.model,
            self._optimiser,
            rate=rate,
            max_norm=MAX_GRADIENT_NORM,
            loss=loss,
            update=update,
        )

    def whole(self) -> AbstractContextManager[None]:
        """In which the model can be used by itself, as by sampling."""
        return nullcontext()

    def finish(self) -> None:
        """Leave the whole model on every worker; nothing is trained any more."""

    def weights(self) -> checkpoint.State:
        """Weights that are trained, by name; they may change with the next step."""
        return checkpoint.weights(self.model)

    def restore(self, weights: checkpoint.State) -> None:
        checkpoint.restore_weights(self.model, weights)

    def state(self) -> checkpoint.State:
        """Of the optimiser, as a plain AdamW has it."""
        return self._optimiser.state_dict()

    def restore_state(self, state: checkpoint.State) -> None:
        self._optimiser.load_state_dict(state)


def copy_weights(weights: checkpoint.State) -> checkpoint.State:
    return {name: weight.clone() for name, weight in weights.items()}
