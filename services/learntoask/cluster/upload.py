"""Upload files of this machine to a store under the digest of their content, so that each is sent only once.

    inputs/<digest>/<name>         a file
    inputs/<digest>/<name>/…       the files of a folder

`lta gc` never removes them, because they belong to the user.
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

OnFile = Callable[[Path, bool], None]
"""Called with every file, and whether it was sent (False: the store already had it)."""


def push(path: Path, address: StoreAddress, *, on_file: OnFile = lambda path, sent: None) -> str:
    """Upload a file or folder and return its `s3://` address.

    Raises InputError when there is nothing to upload or the store is a folder; StoreError when it cannot be written.
    """
    if not address.is_s3:
        raise InputError(
            f"{path} can be uploaded to an s3:// store only, and the store is {address.uri}; give --store "
            "s3://bucket/prefix, or set LTA_STORE or spec.store.uri"
        )
    path = path.resolve()
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise InputError(f"{path} does not exist or is empty; there is nothing to upload")
    place = f"{address.uri}/inputs/{path_digest(path)}/{path.name}"
    bucket_name, key = bucket_and_key(place, field=str(path))
    bucket = open_bucket(bucket_name, address)
    for file in files:
        on_file(file, _send(bucket, file, key if file == path else f"{key}/{file.relative_to(path)}"))
    return place


def _send(bucket: Bucket, file: Path, key: str) -> bool:
    """Upload `file`, unless the bucket has it; return whether it was sent."""
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
