"""Checkpoints that a killed run continues from: whole or absent, never half written."""

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
    """Replace `path` by `state` in one step; on a full disk the older checkpoint stays. Raises StageError.

    `write` is false on the workers that made `state` together with the one that writes.
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
    """The state in `path`, on the CPU; None when there is none. Tensors and plain values only, no code."""
    if not path.exists():
        return None
    state: State = torch.load(
        path, map_location="cpu", weights_only=True, mmap=True
    )  # shared by a machine's workers
    return state


def weights(model: nn.Module) -> State:
    """Weights that are trained, by name; those tied to another are left out (loading restores them)."""
    return {
        name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def restore_weights(model: nn.Module, saved: State) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(saved[name])
