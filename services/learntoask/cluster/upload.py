"""Files of this machine, uploaded to a store under the digest of their content: what is there is not sent again.

    inputs/<digest>/<name>         a file
    inputs/<digest>/<name>/…       the files of a folder

They are the user's, so `lta gc` leaves them alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.runner.inputs import path_digest
from learntoask.store.address import StoreAddress, bucket_and_key
from learntoask.store.atomic_files import Snapshot
from learntoask.store.factory import open_bucket
from learntoask.store.s3.bucket import Bucket
from learntoask.store.s3.transfer import PART_BYTES, upload

Told = Callable[[Path, bool], None]
"""Told of every file whether it was sent (or was there)."""


def push(path: Path, address: StoreAddress, *, told: Told = lambda path, sent: None) -> str:
    """Upload the file or folder and return its `s3://` address.

    Raises InputError where there is nothing, or the store is no bucket; StoreError where it cannot be written.
    """
    if not address.is_s3:
        raise InputError(
            f"{path} can be uploaded to an s3:// store only, and the store is {address.uri}; give --store "
            "s3://bucket/prefix, or set LTA_STORE or spec.store.uri"
        )
    path = path.resolve()
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise InputError(f"{path} does not exist or is empty; there is nothing to upload")
    place = f"{address.uri}/inputs/{path_digest(path)}/{path.name}"
    bucket_name, key = bucket_and_key(place, field=str(path))
    bucket = open_bucket(bucket_name, address)
    for file in files:
        told(file, _sent(bucket, file, key if file == path else f"{key}/{file.relative_to(path)}"))
    return place


def _sent(bucket: Bucket, file: Path, key: str) -> bool:
    seen = Snapshot.of(file)
    there = bucket.stat(key)
    if there is not None and there.size == seen.size:
        return False
    if seen.size > PART_BYTES:
        upload(bucket, key, seen)
    else:
        content = file.read_bytes()
        seen.verify()
        bucket.write(key, content)
    return True
