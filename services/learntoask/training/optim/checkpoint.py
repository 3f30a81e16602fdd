"""Checkpoints of a training run. A file is complete or absent, whenever the process is killed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import torch
from torch import nn

from learntoask.core.errors import StageError

State = dict[str, Any]


def save(path: Path, state: State, *, write: bool = True) -> None:
    """Replace `path` by `state` atomically; when the disk is full the older checkpoint stays. Raises StageError.

    All workers call it, because gathering `state` may need all of them; `write` is true on one worker per machine.
    """
    if not write:
        return
    part = path.with_name(f"{path.name}.{socket.gethostname()}.part")  # pods may share a volume
    try:
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        part.unlink(missing_ok=True)
        raise StageError(
            f"checkpoint {path} cannot be written: {error}; free some disk space, then run again",
            reason="CheckpointNotWritten",
        ) from error


def load(path: Path) -> State | None:
    """Return the state in `path` on the CPU, or None when there is no such file.

    Only tensors and plain values are read, never code. The workers of a machine share the mapped memory.
    """
    if not path.exists():
        return None
    state: State = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return state


def weights(model: nn.Module) -> State:
    """Return the trainable weights by name. Tied weights appear once; loading restores the tie."""
    return {
        name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def restore_weights(model: nn.Module, saved: State) -> None:
    """Copy the weights that `weights` returned into `model`."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(saved[name])
