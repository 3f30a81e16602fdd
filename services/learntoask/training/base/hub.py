"""Base models from the Hugging Face hub (or a mirror of it): fetched once, every file checked against the hub's digest.

Environment: HF_ENDPOINT is the hub, HF_TOKEN (or the file HF_TOKEN_PATH) the token for gated models.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub import errors as hub_errors
from huggingface_hub.hf_api import RepoSibling

from learntoask.core.errors import InputError, StageError, StoreError
from learntoask.core.stages.contract import Progress

_ADDRESS = re.compile(r"^hf:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?$")
_WANTED = (".json", ".safetensors", ".model", ".txt", ".jinja")
_TIMEOUT = 60.0  # seconds of silence


@dataclass(frozen=True)
class HubModel:
    """`commit`: what the revision meant when it was fetched."""

    folder: Path
    commit: str


def fetch_from_hub(uri: str, target: Path, *, progress: Progress, environment: Mapping[str, str]) -> HubModel:
    """Bring the model at `hf:owner/name@revision` to `target`; what an earlier attempt brought there is kept.

    Raises InputError for a wrong address, a model that is not there or needs a token; StoreError when the hub does not
    answer; StageError when a file is not what the hub says it is.
    """
    address = _ADDRESS.match(uri)
    if address is None:
        raise InputError(f"train.base.uri {uri!r} is not of the form hf:owner/name or hf:owner/name@revision")
    endpoint = environment.get("HF_ENDPOINT") or "https://huggingface.co"
    token = _token(environment)
    try:
        info = huggingface_hub.HfApi(endpoint=endpoint, token=token or False).model_info(
            address["name"], revision=address["revision"], files_metadata=True, timeout=_TIMEOUT
        )
        wanted = _files(info.siblings or [])
        if not wanted:
            raise InputError(f"{uri} at {endpoint} has no *.safetensors; take a model that has")
        for index, sibling in enumerate(wanted):
            progress.update(index, len(wanted), f"fetching {sibling.rfilename}")
            _bring(sibling, address["name"], str(info.sha), target, endpoint=endpoint, token=token)
    except hub_errors.GatedRepoError as error:
        raise InputError(f"{uri} is gated: accept its terms at {endpoint} and set HF_TOKEN") from error
    except hub_errors.RevisionNotFoundError as error:
        raise InputError(f"{uri}: {endpoint} has no revision {address['revision']!r} of it") from error
    except hub_errors.RepositoryNotFoundError as error:
        hint = "HF_TOKEN may not read it" if token else "if it is private, set HF_TOKEN"
        raise InputError(f"{uri} is not at {endpoint}, or {hint}") from error
    except (hub_errors.HfHubHTTPError, hub_errors.LocalEntryNotFoundError, OSError) as error:
        raise StoreError(f"{uri} cannot be fetched from {endpoint}: {str(error).splitlines()[0]}") from error
    return HubModel(target, str(info.sha))


def _files(siblings: list[RepoSibling]) -> list[RepoSibling]:
    """Files of the root that a model needs, largest last."""
    root = [one for one in siblings if "/" not in one.rfilename and one.rfilename.endswith(_WANTED)]
    if not any(one.rfilename.endswith(".safetensors") for one in root):
        return []
    return sorted(root, key=lambda one: one.size or 0)


def _bring(
    sibling: RepoSibling, name: str, commit: str, target: Path, *, endpoint: str, token: str | None
) -> None:
    path = target / sibling.rfilename
    if path.exists() and _is_whole(path, sibling):
        return
    path.unlink(missing_ok=True)
    huggingface_hub.hf_hub_download(
        name,
        sibling.rfilename,
        revision=commit,
        local_dir=target,
        endpoint=endpoint,
        token=token or False,
        etag_timeout=_TIMEOUT,
        force_download=True,
    )
    if not _is_whole(path, sibling):
        path.unlink(missing_ok=True)
        raise StageError(
            f"{sibling.rfilename} of {name} is not what the hub says it is (size or digest); try again, or another "
            "HF_ENDPOINT",
            reason="BaseDamaged",
        )


def _is_whole(path: Path, sibling: RepoSibling) -> bool:
    """Whether size and digest are the hub's: SHA-256 of large files, git's SHA-1 of small ones."""
    size = path.stat().st_size
    if sibling.size is not None and size != sibling.size:
        return False
    if sibling.lfs is not None:
        digest, expected = hashlib.sha256(), sibling.lfs.sha256
    elif sibling.blob_id:
        digest, expected = hashlib.sha1(b"blob %d\0" % size), sibling.blob_id
    else:
        return True
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == expected


def _token(environment: Mapping[str, str]) -> str | None:
    if environment.get("HF_TOKEN"):
        return environment["HF_TOKEN"].strip()
    path = Path(environment.get("HF_TOKEN_PATH") or os.devnull)
    return path.read_text(encoding="utf-8").strip() or None if path.exists() else None
