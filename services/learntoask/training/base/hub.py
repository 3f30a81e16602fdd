"""Fetch base models from the Hugging Face hub or a mirror, and check every file against the hub's digest.

The environment may set HF_ENDPOINT (the hub) and HF_TOKEN or the file HF_TOKEN_PATH (the token for gated models).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import errors as hub_errors
from huggingface_hub.hf_api import RepoSibling

from learntoask.core.errors import InputError, StageError, StoreError
from learntoask.core.manifest.address import HUB_MODEL
from learntoask.core.network.proxy import proxy_for
from learntoask.core.stages.contract import Progress

_WANTED = (".json", ".safetensors", ".model", ".txt", ".jinja")
_TIMEOUT = 60.0  # seconds without a byte


@dataclass(frozen=True)
class HubModel:
    """A fetched model. `commit` is what the revision referred to at that time."""

    folder: Path
    commit: str


def fetch_from_hub(uri: str, target: Path, *, progress: Progress, environment: Mapping[str, str]) -> HubModel:
    """Download the model at `hf:owner/name@revision` to `target`, except files that an earlier attempt completed.

    Raises InputError if the address is wrong, or the model does not exist or needs a token; StoreError if the hub does
    not answer; StageError if a file does not have the hub's digest.
    """
    address = re.fullmatch(HUB_MODEL, uri)
    if address is None:
        raise InputError(
            f"spec.train.base.uri {uri!r} is not of the form hf:owner/name or hf:owner/name@revision"
        )
    endpoint = environment.get("HF_ENDPOINT") or "https://huggingface.co"
    token = _token(environment)
    with _called_directly(endpoint, environment):
        return _fetch(uri, address, target, endpoint=endpoint, token=token, progress=progress)


@contextmanager
def _called_directly(endpoint: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Name the hub in NO_PROXY where `proxy_for` knows no proxy for it.

    huggingface_hub reads the variables of the process when it opens its session, and sends even calls on loopback
    through a proxy.
    """
    parts = urlsplit(endpoint)
    if not parts.hostname or proxy_for(parts.scheme, parts.hostname, environment) is not None:
        yield
        return
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = ",".join(filter(None, (before or os.environ.get("NO_PROXY"), parts.hostname)))
    huggingface_hub.close_session()
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before
        huggingface_hub.close_session()


def _fetch(
    uri: str, address: re.Match[str], target: Path, *, endpoint: str, token: str | None, progress: Progress
) -> HubModel:
    try:
        info = huggingface_hub.HfApi(endpoint=endpoint, token=token or False).model_info(
            address["name"], revision=address["revision"], files_metadata=True, timeout=_TIMEOUT
        )
        wanted = _files(info.siblings or [])
        if not wanted:
            raise InputError(f"{uri} at {endpoint} has no *.safetensors; choose a model that has")
        for index, sibling in enumerate(wanted):
            progress.update(index, len(wanted), f"fetching {sibling.rfilename}")
            _download(sibling, address["name"], str(info.sha), target, endpoint=endpoint, token=token)
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
    """The files at the root that a model needs, largest last."""
    root = [file for file in siblings if "/" not in file.rfilename and file.rfilename.endswith(_WANTED)]
    if not any(file.rfilename.endswith(".safetensors") for file in root):
        return []
    return sorted(root, key=lambda file: file.size or 0)


def _download(
    sibling: RepoSibling, name: str, commit: str, target: Path, *, endpoint: str, token: str | None
) -> None:
    path = target / sibling.rfilename
    if path.exists() and _is_complete(path, sibling):
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
    if not _is_complete(path, sibling):
        path.unlink(missing_ok=True)
        raise StageError(
            f"{sibling.rfilename} of {name} does not have the size or digest that the hub states; try again, or set "
            "another HF_ENDPOINT",
            reason="BaseDamaged",
        )


def _is_complete(path: Path, sibling: RepoSibling) -> bool:
    """Whether size and digest are those of the hub: SHA-256 for large files, git's SHA-1 for small ones."""
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
