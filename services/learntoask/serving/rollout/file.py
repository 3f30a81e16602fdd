"""The file in which a rollout lies: its strategy and its state. Gateways follow it, and one of them may decide it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from learntoask.core.errors import InputError
from learntoask.core.manifest.model import ManifestModel
from learntoask.core.status.rollout import JudgedPairs, RolloutFile


class Orders(ManifestModel):
    """What somebody asks for, in the file next to the rollout's; `order` is for the rollout `id` alone, and `judged` is
    what people say about copies."""

    paused: bool = False
    id: str = ""
    order: Literal["promote", "abort"] | None = None
    judged: JudgedPairs | None = None


def state_path(strategy: Path) -> Path:
    """Return where a gateway keeps the rollout that it decides by the strategy at this path."""
    return strategy.with_name(f"{strategy.name}.state")


def orders_path(path: Path) -> Path:
    """Return the path of the orders for the rollout at `path`."""
    return path.with_name(f"{path.name}.orders")


def read_rollout(path: Path) -> RolloutFile | None:
    """Read a rollout; None if there is no file. Raises InputError."""
    text = _read(path)
    if text is None:
        return None
    try:
        return RolloutFile.model_validate_json(text)
    except ValidationError as error:
        raise InputError(
            f"{path} is not the state of a rollout: {error}; remove it to begin again"
        ) from error


def read_orders(path: Path) -> Orders:
    """Read the orders for the rollout at `path`; none if there is no file. Raises InputError."""
    text = _read(orders_path(path))
    try:
        return Orders() if text is None else Orders.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"{orders_path(path)} holds no orders: {error}; remove it") from error


def write(path: Path, content: ManifestModel) -> None:
    """Replace the file as a whole, so that a reader never sees a part of it. Raises OSError."""
    text = json.dumps(content.model_dump(mode="json", by_alias=True, exclude_none=True), indent=1)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
