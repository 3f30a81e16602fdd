"""The workers of one training run: who computes what of a batch, and how their parts come together.

The batch does not depend on their number. A worker takes every `size`-th row; losses are normalised by the whole
batch before, so that the sum of the workers' gradients is the gradient of one process, but for the order of additions.
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
    """Worker `rank` of `size`; alone, nothing is exchanged. What is exchanged, all must exchange, in the same order.

    `saves`: whether this worker writes the checkpoints of its machine or pod, of which each has a work folder.
    """

    rank: int = 0
    size: int = 1
    saves: bool = True

    @property
    def is_leader(self) -> bool:
        """Whether this worker tells and publishes."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        return list(items[self.rank :: self.size])

    def all_gather(self, share: Sequence[Item]) -> list[Item]:
        """The items of all workers in the order that `share` took them from (plain values and numpy arrays)."""
        if self.size == 1:
            return list(share)
        shares: list[list[Item]] = [[] for _ in range(self.size)]
        dist.all_gather_object(shares, list(share))
        return [
            shares[index % self.size][index // self.size] for index in range(sum(len(one) for one in shares))
        ]

    def all_reduce(self, values: Sequence[float]) -> list[float]:
        """Sums over the workers, in float64."""
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
                if parameter.grad is None:  # none of its rows were here
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def barrier(self) -> None:
        """Wait for all the others."""
        if self.size > 1:
            dist.barrier()

    def check_same(self, value: float, *, what: str) -> None:
        """Raises StageError on all workers unless they all have the same `value`."""
        mean, square = (part / self.size for part in self.all_reduce([value, value * value]))
        if square - mean * mean > 1e-9:
            raise StageError(
                f"the workers do not see the same: {what}. Let all go on from the same checkpoint, or from none",
                reason="WorkersDiffer",
            )

    def broadcast(self, compute: Callable[[], Item]) -> Item:
        """What the leader computes, on every worker."""
        if self.size == 1:
            return compute()
        held = [compute() if self.is_leader else None]
        dist.broadcast_object_list(held, src=0, device=_device())
        return cast(Item, held[0])


ALONE = Workers()


def join(*, rank: int, size: int, local_rank: int, timeout_seconds: float) -> Workers:
    """Meet the other workers (addresses are in the environment, as torchrun and Kubernetes' training operators set it).

    Raises StageError when they do not come in time.
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
    except (
        RuntimeError,
        ValueError,
    ) as error:  # torch's own errors of the store and the group are RuntimeErrors
        raise StageError(
            f"worker {rank} of {size} did not find the others: {str(error).splitlines()[0]}",
            reason="WorkersMissing",
        ) from error
    return Workers(rank=rank, size=size, saves=local_rank == 0)


def _device() -> torch.device:
    """Where tensors must be for the group to exchange them."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
