"""Download of the input files that a manifest names by `s3://` addresses, into a cache.

    CACHE/<address>/<version>/digests.json    SHA-256 by path, written last
    CACHE/<address>/<version>/content/…       the object, or all objects below the address

The version is a digest of the ETags. A changed object gets a new folder, so that the files of a running stage never
change.
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
    """A downloaded file or folder. `digest` equals that of `runner.inputs` for a local copy with the same content."""

    path: Path
    digest: str


def download_input(uri: str, *, field: str, service: StoreAddress, cache: Path) -> DownloadedInput:
    """Download the file, or the folder of files, at `uri` with the endpoint and credentials of `service`.

    Files in `cache` are compared with their digests, and damaged ones are downloaded again. Raises InputError that
    names `field` if there is no such object, and StoreError if it cannot be read.
    """
    name, key = bucket_and_key(uri, field=field)
    bucket = open_bucket(name, service)
    single = bucket.stat(key) if key else None
    entries = {_file_name(key): single} if single else _entries_below(bucket, f"{key}/" if key else "")
    if not entries:
        raise InputError(f"{field}: there is nothing at {uri} ({bucket.place.endpoint})")
    version = digest_of({path: [entry.etag, entry.size] for path, entry in entries.items()})
    folder = cache / digest_of([bucket.place.endpoint, name, key])[:16] / version[:16]
    digests = _verified_digests(folder) or _fetch_version(bucket, entries, folder)
    if single:
        return DownloadedInput(path=folder / "content" / _file_name(key), digest=digests[_file_name(key)])
    return DownloadedInput(path=folder / "content", digest=digest_of({**digests}))


def _file_name(key: str) -> str:
    return key.rpartition("/")[2]


def _entries_below(bucket: Bucket, prefix: str) -> dict[str, Entry]:
    """Return the objects by their path below `prefix`, without the empty objects that some tools create for folders."""
    found = {entry.key.removeprefix(prefix): entry for entry in bucket.entries(prefix)}
    return {path: entry for path, entry in found.items() if path and not path.endswith("/")}


def _verified_digests(folder: Path) -> dict[str, str] | None:
    """Return the digests of a version in the cache, or None if it is missing or damaged."""
    try:
        digests: dict[str, str] = json.loads((folder / "digests.json").read_text())
    except (OSError, ValueError):
        return None
    for path, digest in digests.items():
        content = folder / "content" / path
        if not content.is_file() or file_digest(content) != digest:
            logger.warning("%s is damaged and is downloaded again", content)
            return None
    return digests


def _fetch_version(bucket: Bucket, entries: dict[str, Entry], folder: Path) -> dict[str, str]:
    coming = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        digests = {
            path: _receive_file(bucket, entry, coming / "content" / path) for path, entry in entries.items()
        }
        with atomic_write(coming / "digests.json", durable=False) as out:
            out.write(json.dumps(digests, indent=1).encode())
        shutil.rmtree(folder, ignore_errors=True)
        try:
            coming.rename(folder)
        except OSError as error:
            if (
                _verified_digests(folder) != digests
            ):  # otherwise another process downloaded it at the same time
                raise StoreError(f"{folder} could not be written: {error.strerror}") from error
    finally:
        shutil.rmtree(coming, ignore_errors=True)
    return digests


def _receive_file(bucket: Bucket, entry: Entry, target: Path) -> str:
    with atomic_write(target, durable=False) as out:
        digest = receive(bucket, entry.key, out, size=entry.size, etag=entry.etag)
    if target.stat().st_size != entry.size:
        raise StoreError(f"{bucket.place.of(entry.key)} disappeared while it was being downloaded; run again")
    target.chmod(0o444)
    return digest
