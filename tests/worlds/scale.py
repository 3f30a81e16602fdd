"""Tiny training runs on two processes that exchange over gloo, and the runs on one that they are compared with."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from learntoask.core.manifest import Distributed
from learntoask.training.distributed.process_group import ALONE, Workers, join
from learntoask.training.grpo.trainer import GrpoTrainer
from learntoask.training.run import TrainingRun
from learntoask.training.sft.trainer import SftTrainer
from safetensors.torch import load_file, save_file

from worlds import tiny_training as tiny

Run = TypeVar("Run", bound=TrainingRun)

SIZE = 2
STOPPED_AT = 6  # a multiple of the tiny run's checkpoint interval


class Stopped(Exception):
    pass


class StopAt:
    def __init__(self, update: int | None) -> None:
        self._update = update

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        if done == self._update:
            raise Stopped


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def divided(run: Run, workers: Workers, *, zero: int) -> Run:
    distributed = Distributed(workers=workers.size, zero=zero)
    return replace(run, workers=workers, train=run.train.model_copy(update={"distributed": distributed}))


def train_sft(
    work: Path, *, workers: Workers = ALONE, zero: int = 0, stop_at: int | None = None
) -> dict[str, torch.Tensor]:
    """Return the last weights, or nothing if the run was stopped."""
    work.mkdir(parents=True, exist_ok=True)
    policy = tiny.policy()
    run = divided(tiny.sft_run(work), workers, zero=zero)
    try:
        SftTrainer(policy, tiny.sessions(9), [], run=run).train(StopAt(stop_at))
    except Stopped:
        return {}
    return {name: weight.detach().clone() for name, weight in policy.model.named_parameters()}


def train_grpo(
    work: Path, warm: dict[str, torch.Tensor], *, workers: Workers = ALONE, zero: int = 0
) -> dict[str, torch.Tensor]:
    work.mkdir(parents=True, exist_ok=True)
    policy = tiny.warmed(warm)
    run = divided(tiny.grpo_run(work, updates=2), workers, zero=zero)
    grader = tiny.WordGrader() if workers.is_leader else None
    held_out = tiny.sessions(3, "validation")
    GrpoTrainer(policy, tiny.warmed(warm), tiny.sessions(6), held_out, grader=grader, run=run).train(
        tiny.Quiet()
    )
    return torch.load(work / "grpo.pt", weights_only=True)["weights"]


def worker(rank: int, port: int, folder: Path) -> None:
    """Make all runs of one process. The leader saves the weights of each as FOLDER/NAME.safetensors."""
    import os  # noqa: PLC0415

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    workers = join(rank=rank, size=SIZE, local_rank=rank, timeout_seconds=120)
    warm = load_file(folder / "warm.safetensors")

    def keep(name: str, weights: dict[str, torch.Tensor]) -> None:
        if workers.is_leader:
            save_file(
                {key: value.contiguous() for key, value in weights.items()}, folder / f"{name}.safetensors"
            )
        workers.barrier()

    for zero in range(4):
        keep(f"sft-{zero}", train_sft(folder / f"work-{zero}", workers=workers, zero=zero))
    keep("sft-resumed", train_sft(folder / "stopped-alone", workers=workers, zero=2))
    for zero in (0, 3):
        keep(f"grpo-{zero}", train_grpo(folder / f"grpo-{zero}", warm, workers=workers, zero=zero))
    for zero in (0, 3):
        train_sft(folder / f"stopped-{zero}", workers=workers, zero=zero, stop_at=STOPPED_AT)
