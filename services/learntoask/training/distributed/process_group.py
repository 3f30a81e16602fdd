"""The workers of one training run: each one's share of a batch, and how they exchange results.

A batch does not depend on the number of workers. A worker takes every `size`-th micro-batch, and losses are normalised
by the whole batch, so that the sum of the workers' gradients is the gradient of one process, except for the order of
additions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import distributed as dist
from torch import nn

from learntoask.core.errors import StageError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Workers:
    """Worker `rank` of `size`. All workers must call the exchanging methods in the same order; alone they do nothing.

    `saves` is true for the one worker of each machine or pod that writes checkpoints into its work folder.
    """

    rank: int = 0
    size: int = 1
    saves: bool = True

    @property
    def is_leader(self) -> bool:
        """Whether this worker reports progress, grades and publishes."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return this worker's items, every `size`-th one."""
        return list(items[self.rank :: self.size])

    def all_gather(self, share: Sequence[Item]) -> list[Item]:
        """Return the items of all workers, in the order from which `share` took them (they must be picklable)."""
        if self.size == 1:
            return list(share)
        shares: list[list[Item]] = [[] for _ in range(self.size)]
        dist.all_gather_object(shares, list(share))
        return [
            shares[index % self.size][index // self.size]
            for index in range(sum(len(part) for part in shares))
        ]

    def all_reduce(self, values: Sequence[float]) -> list[float]:
        """Return the sums over the workers, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=_device())
        dist.all_reduce(total)
        return total.tolist()

    def all_reduce_gradients(self, model: nn.Module) -> None:
        """Give every worker the sum of all workers' gradients."""
        if self.size == 1:
            return
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:  # no micro-batch of this worker used it
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def barrier(self) -> None:
        """Wait for all workers."""
        if self.size > 1:
            dist.barrier()

    def check_same(self, value: float, *, what: str) -> None:
        """Raise StageError (WorkersDiffer) on all workers unless they all have the same `value`."""
        mean, square = (part / self.size for part in self.all_reduce([value, value * value]))
        if square - mean * mean > 1e-9:
            raise StageError(
                f"the workers do not see the same: {what}. Let all continue from the same checkpoint, or from none",
                reason="WorkersDiffer",
            )

    def broadcast(self, compute: Callable[[], Item]) -> Item:
        """Return on every worker what `compute` returns on the leader, where alone it is called."""
        if self.size == 1:
            return compute()
        held = [compute() if self.is_leader else None]
        dist.broadcast_object_list(held, src=0, device=_device())
        return cast(Item, held[0])


ALONE = Workers()


def join(*, rank: int, size: int, local_rank: int, timeout_seconds: float) -> Workers:
    """Join the process group whose address torchrun or a training operator has set in the environment.

    Raises StageError (WorkersMissing) when the others do not join within `timeout_seconds`.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    try:
        dist.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout_seconds),
        )
    except (RuntimeError, ValueError) as error:  # torch's errors of the store and the group are RuntimeErrors
        raise StageError(
            f"worker {rank} of {size} did not find the others: {str(error).splitlines()[0]}",
            reason="WorkersMissing",
        ) from error
    return Workers(rank=rank, size=size, saves=local_rank == 0)


def _device() -> torch.device:
    """The device on which tensors must be for the group to exchange them."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
