"""Another policy in the place of the one that serves: decisions under way end first, new ones wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError

_OF_THE_WRITER = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


class Switch:
    """`async with` it around a decision: many at a time, or one change. A change waits for the decisions under way;
    those that come meanwhile wait for it, under their own deadlines."""

    def __init__(self) -> None:
        self._deciding = 0
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._changes = asyncio.Lock()

    async def __aenter__(self) -> None:
        """A decision begins."""
        while not self._open.is_set():
            await self._open.wait()
        self._deciding += 1
        self._idle.clear()

    async def __aexit__(self, *_: object) -> None:
        self._deciding -= 1
        if not self._deciding:
            self._idle.set()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        async with self._changes:
            self._open.clear()
            try:
                await self._idle.wait()
                yield
            finally:
                self._open.set()


def weights_shape(folder: Path) -> str:
    """Digest of what two model folders must have in common for one's weights to take the other's place in a running
    engine: configuration, tokenizer, names and shapes of the weights. Raises InputError for an unreadable folder."""
    from safetensors import safe_open  # noqa: PLC0415 - the gateway's image has none

    try:
        config = json.loads((folder / "config.json").read_text())
        weights = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="numpy") as tensors:
                weights |= {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
        tokenizer = (folder / "tokenizer.json").read_text()
    except Exception as error:  # safetensors has a type of its own for a broken file
        raise InputError(f"model folder {folder} cannot be read ({type(error).__name__}: {error})") from error
    kept = {name: value for name, value in config.items() if name not in _OF_THE_WRITER}
    return digest_of({"config": kept, "tokenizer": tokenizer, "weights": weights})
