"""Files that a manifest names by an `s3://` address, brought to this machine once.

    CACHE/<address>/<version>/digests.json    SHA-256 by path, written last
    CACHE/<address>/<version>/content/…       the object, or every object below the address

A version is what the ETags say; a changed object gets a folder of its own, so nothing changes under a run that reads.
"""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError, StoreError
from learntoask.store.address import StoreAddress, bucket_and_key
from learntoask.store.atomic_files import atomic_write, file_digest
from learntoask.store.factory import open_bucket
from learntoask.store.s3.bucket import Bucket, Entry
from learntoask.store.s3.transfer import receive

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DownloadedInput:
    """`digest` as `local.sources` computes it for a file or a folder of that content."""

    path: Path
    digest: str


def download_input(uri: str, *, field: str, service: StoreAddress, cache: Path) -> DownloadedInput:
    """The file, or the folder of files, at `uri`; endpoint and credentials are those of `service`.

    What is in `cache` is checked against its digests and fetched again when damaged. Raises InputError naming `field`
    when nothing is there, StoreError when it cannot be had.
    """
    name, key = bucket_and_key(uri, field=field)
    bucket = open_bucket(name, service)
    one = bucket.stat(key) if key else None
    entries = {_file_name(key): one} if one else _below(bucket, f"{key}/" if key else "")
    if not entries:
        raise InputError(f"{field}: there is nothing at {uri} ({bucket.place.endpoint})")
    version = digest_of({path: [entry.etag, entry.size] for path, entry in entries.items()})
    folder = cache / digest_of([bucket.place.endpoint, name, key])[:16] / version[:16]
    digests = _checked(folder) or _bring(bucket, entries, folder)
    if one:
        return DownloadedInput(path=folder / "content" / _file_name(key), digest=digests[_file_name(key)])
    return DownloadedInput(path=folder / "content", digest=digest_of({**digests}))


def _file_name(key: str) -> str:
    return key.rpartition("/")[2]


def _below(bucket: Bucket, prefix: str) -> dict[str, Entry]:
    """Objects by their path below `prefix`, without the empty ones that some tools put there for folders."""
    found = {entry.key.removeprefix(prefix): entry for entry in bucket.entries(prefix)}
    return {path: entry for path, entry in found.items() if path and not path.endswith("/")}


def _checked(folder: Path) -> dict[str, str] | None:
    """Digests of a version that is here and whole."""
    try:
        digests: dict[str, str] = json.loads((folder / "digests.json").read_text())
    except (OSError, ValueError):
        return None
    for path, digest in digests.items():
        content = folder / "content" / path
        if not content.is_file() or file_digest(content) != digest:
            logger.warning("%s is damaged: it is fetched again", content)
            return None
    return digests


def _bring(bucket: Bucket, entries: dict[str, Entry], folder: Path) -> dict[str, str]:
    coming = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        digests = {
            path: _received(bucket, entry, coming / "content" / path) for path, entry in entries.items()
        }
        with atomic_write(coming / "digests.json", durable=False) as out:
            out.write(json.dumps(digests, indent=1).encode())
        shutil.rmtree(folder, ignore_errors=True)
        try:
            coming.rename(folder)
        except OSError as error:
            if _checked(folder) != digests:  # else somebody else brought it at the same time
                raise StoreError(f"{folder} could not be written: {error.strerror}") from error
    finally:
        shutil.rmtree(coming, ignore_errors=True)
    return digests


def _received(bucket: Bucket, entry: Entry, target: Path) -> str:
    with atomic_write(target, durable=False) as out:
        digest = receive(bucket, entry.key, out, size=entry.size, etag=entry.etag)
    if target.stat().st_size != entry.size:
        raise StoreError(f"{bucket.place.of(entry.key)} disappeared while it was being fetched; run again")
    target.chmod(0o444)
    return digest
