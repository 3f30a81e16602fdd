"""Fetches a published policy: domain pack and model, by the keys of the stages that published them."""

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
    """A policy on this machine. `settings` are the fields of ServeConfig that it was trained with."""

    model: Path
    pack: Path
    settings: dict[str, object]


def fetch_pack(store: Store, publication: str, *, cache: Path) -> Path:
    """Fetch the domain pack of the serve stage's `publication`. Raises StoreError."""
    return _fetch(store, _find(store, publication, "serve"), cache, only=(_PACK,)) / _PACK


def fetch_policy(store: Store, publication: str, policy: str, *, cache: Path) -> PublishedPolicy:
    """Fetch pack and model by the keys of the serve stage and of the stage that trained the policy.

    Each fetched file is verified by its digest; a file of the right size in `cache` is not fetched again. Raises
    StoreError if a key is not published or a file cannot be fetched.
    """
    served = _fetch(store, _find(store, publication, "serve"), cache, only=(_PACK, _POLICY))
    trained = _fetch(store, _find(store, policy, "grpo"), cache, only=(_MODEL,))
    try:
        published: dict[str, Any] = json.loads((served / _POLICY).read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"publication {publication[:12]} holds no readable {_POLICY}: {error}") from error
    settings = {
        "max_prompt_tokens": published.get("maxPromptTokens"),
        "max_new_tokens": published.get("maxNewTokens"),
        "may_stop": published.get("mayStop"),
        "assessment": published.get("assessment"),
        "stop_threshold": published.get("stopThreshold"),
        "stop_temperature": published.get("stopTemperature"),
        "repeat": published.get("repeat"),
    }
    return PublishedPolicy(
        model=trained / "model",
        pack=served / _PACK,
        settings={name: value for name, value in settings.items() if value is not None},
    )


def fetch_path(address: str, *, field: str, cache: Path) -> Path:
    """Return the local path of a file or folder, fetched into `cache` if `address` is an `s3://` address.

    The service behind an `s3://` address is that of the environment's store. Raises InputError if nothing is there,
    StoreError if it cannot be fetched.
    """
    if not address.startswith("s3://"):
        return Path(address)
    return download_input(address, field=field, service=environment_store(), cache=cache).path


def _find(store: Store, key: str, stage: str) -> Publication:
    found = store.find(key)
    if found is None:
        raise StoreError(
            f"{key[:12]} is not published in {store.address}; was it collected (`lta gc`), or is it another store?"
        )
    if found.stage != stage:
        raise StoreError(f"{key[:12]} is a publication of stage {found.stage}, not of {stage}")
    return found


def _fetch(store: Store, publication: Publication, cache: Path, *, only: tuple[str, ...]) -> Path:
    """Fetch the files whose paths begin with one of `only` into a folder named by the publication's output."""
    folder = cache / publication.output[:16]
    wanted = [file for file in publication.files if file.path.startswith(only)]
    if not wanted:
        raise StoreError(f"publication {publication.key[:12]} holds no {' or '.join(only)}")
    for file in wanted:
        target = folder / file.path
        if not target.is_file() or target.stat().st_size != file.size:
            store.fetch(file, target)  # appears whole and verified, or not at all
    return folder
