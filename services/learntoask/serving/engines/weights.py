"""Which weights may take the place of a running engine's: the shape that two model folders must share."""

from __future__ import annotations

import json
from pathlib import Path

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError

# Keys of config.json that describe the process that wrote the folder, not the model.
_WRITER_KEYS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


def weights_shape(folder: Path) -> str:
    """Return a digest of a model folder's configuration, tokenizer, and names and shapes of weights.

    A running engine can load the weights of any folder with an equal digest. Raises InputError if it is unreadable.
    """
    from safetensors import safe_open  # noqa: PLC0415 - the gateway's image has none

    try:
        config = json.loads((folder / "config.json").read_text())
        weights = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="numpy") as tensors:
                weights |= {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
        tokenizer = (folder / "tokenizer.json").read_text()
    except Exception as error:  # safetensors raises its own type for a broken file
        raise InputError(f"model folder {folder} cannot be read ({type(error).__name__}: {error})") from error
    kept = {name: value for name, value in config.items() if name not in _WRITER_KEYS}
    return digest_of({"config": kept, "tokenizer": tokenizer, "weights": weights})
