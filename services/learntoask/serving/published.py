"""A published policy on this machine: domain pack and model by the keys of the stages that published them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learntoask.core.errors import StoreError
from learntoask.core.stages.publication import Publication
from learntoask.store.address import environment_store
from learntoask.store.download import download_input
from learntoask.store.protocol import Store

_PACK = "pack.json"
_POLICY = "policy.json"
_MODEL = "model/"


@dataclass(frozen=True, kw_only=True)
class PublishedPolicy:
    """`settings` are fields of ServeConfig: how the policy is to be prompted."""

    model: Path
    pack: Path
    settings: dict[str, object]


def fetch_pack(store: Store, publication: str, *, cache: Path) -> Path:
    """The domain pack of the serve stage's `publication`. Raises StoreError."""
    return _fetched(store, _found(store, publication, "serve"), cache, only=(_PACK,)) / _PACK


def fetch_policy(store: Store, publication: str, policy: str, *, cache: Path) -> PublishedPolicy:
    """Pack and model of the stages' keys, every file verified by its digest; what `cache` holds whole stays.

    Raises StoreError where a key is not published or a file cannot be had.
    """
    served = _fetched(store, _found(store, publication, "serve"), cache, only=(_PACK, _POLICY))
    trained = _fetched(store, _found(store, policy, "grpo"), cache, only=(_MODEL,))
    try:
        told: dict[str, Any] = json.loads((served / _POLICY).read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"publication {publication[:12]} holds no readable {_POLICY}: {error}") from error
    settings = {
        "max_prompt_tokens": told.get("maxPromptTokens"),
        "max_new_tokens": told.get("maxNewTokens"),
        "may_stop": told.get("mayStop"),
        "stop_threshold": told.get("stopThreshold"),
    }
    return PublishedPolicy(
        model=trained / "model",
        pack=served / _PACK,
        settings={name: value for name, value in settings.items() if value is not None},
    )


def brought(address: str, *, field: str, cache: Path) -> Path:
    """The file or folder at a path or an `s3://` address; the service of the latter is that of the environment's store.

    Raises InputError where nothing is there, StoreError where it cannot be had.
    """
    if not address.startswith("s3://"):
        return Path(address)
    return download_input(address, field=field, service=environment_store(), cache=cache).path


def _found(store: Store, key: str, stage: str) -> Publication:
    found = store.find(key)
    if found is None:
        raise StoreError(
            f"{key[:12]} is not published in {store.address}; was it collected (`lta gc`), or is it another store?"
        )
    if found.stage != stage:
        raise StoreError(f"{key[:12]} is a publication of stage {found.stage}, not of {stage}")
    return found


def _fetched(store: Store, publication: Publication, cache: Path, *, only: tuple[str, ...]) -> Path:
    """The files of `publication` whose paths begin with one of `only`, in a folder named by its output."""
    folder = cache / publication.output[:16]
    wanted = [file for file in publication.files if file.path.startswith(only)]
    if not wanted:
        raise StoreError(f"publication {publication.key[:12]} holds no {' or '.join(only)}")
    for file in wanted:
        target = folder / file.path
        if not target.is_file() or target.stat().st_size != file.size:
            store.fetch(file, target)  # appears whole and verified, or not at all
    return folder
