"""Transfer of large files in parallel parts. An interrupted upload continues with the missing parts.

This machine keeps no state of an upload. The service keeps the parts of a pending upload, and the object's key is the
digest of its content, so that any process with the same content can send the missing parts, even two at a time.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from minio.datatypes import Part

from learntoask.core.errors import StoreError
from learntoask.core.stages.publication import PublishedFile
from learntoask.store.atomic_files import Snapshot, atomic_write
from learntoask.store.s3.bucket import Bucket

PART_BYTES = 16 << 20
PARALLEL = 4  # parts in transfer at the same time; bounds the memory to PARALLEL parts
# For larger writes Linux needs contiguous memory, which takes seconds to find on a machine whose memory is full.
_WRITE_BYTES = 1 << 20
_MOST_PARTS = 10_000  # limit of the S3 protocol


def part_size(size: int) -> int:
    """Return the part size in bytes for a file of `size` bytes. All processes have to use the same."""
    return PART_BYTES * max(1, -(-size // (PART_BYTES * _MOST_PARTS)))


def upload(bucket: Bucket, key: str, content: Snapshot) -> None:
    """Upload the file as the object `key`. Raises StoreError if the service lost received parts twice."""
    for pending in (bucket.uploads(key), []):
        upload_id = pending[-1] if pending else bucket.begin(key)
        etags = _send_missing(bucket, key, upload_id, content)
        if etags is not None:
            content.verify()
            bucket.complete(key, upload_id, etags)
        made = bucket.stat(key)
        if made is not None and made.size == content.size:
            for other in bucket.uploads(key):  # uploads of slower or killed publishers
                bucket.abort(key, other)
            return
        bucket.abort(key, upload_id)
    raise StoreError(
        f"{bucket.place.of(key)}: the store lost parts that it had received; look at its log, run again"
    )


def download(bucket: Bucket, key: str, file: PublishedFile, target: Path) -> bool:
    """Download the object `key` to `target` (read-only). Return False, without a file, if its digest is not
    `file`'s."""
    try:
        with atomic_write(target, durable=False) as out:
            if receive(bucket, key, out, size=file.size) != file.digest:
                raise _DigestDiffers
    except _DigestDiffers:
        return False
    target.chmod(0o444)
    return True


def receive(bucket: Bucket, key: str, out: BinaryIO, *, size: int, etag: str | None = None) -> str:
    """Write the content of an object to `out` and return its SHA-256. With `etag` only that version is read."""
    content = hashlib.sha256()
    for part in _parts(bucket, key, size, etag):
        content.update(part)
        view = memoryview(part)
        for start in range(0, len(part), _WRITE_BYTES):
            out.write(view[start : start + _WRITE_BYTES])
    return content.hexdigest()


class _DigestDiffers(Exception):
    """Aborts an atomic write whose content has the wrong digest."""


def _parts(bucket: Bucket, key: str, size: int, etag: str | None) -> Iterator[bytes]:
    """Iterate over the parts of the content in order. A part of an object that disappears meanwhile is empty."""
    coming: deque[Future[tuple[bytes, str] | None]] = deque()
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            for start in range(0, size, PART_BYTES):
                length = min(PART_BYTES, size - start)
                coming.append(pool.submit(bucket.read, key, start=start, length=length, etag=etag))
                if len(coming) == PARALLEL:
                    yield (coming.popleft().result() or (b"", ""))[0]
            while coming:
                yield (coming.popleft().result() or (b"", ""))[0]
        finally:
            pool.shutdown(cancel_futures=True)


def _send_missing(bucket: Bucket, key: str, upload_id: str, content: Snapshot) -> list[str] | None:
    """Send the missing parts and return the ETags of all parts in order, or None if the upload is not pending."""
    found = bucket.parts(key, upload_id)
    if found is None:
        return None
    there = {part.part_number: part for part in found}
    bytes_each = part_size(content.size)
    with content.path.open("rb") as file, ThreadPoolExecutor(PARALLEL) as pool:

        def send(number: int) -> str | None:
            data = _read(file, content, start=(number - 1) * bytes_each, length=bytes_each)
            known = there.get(number)
            if known and _is_same_part(known, data):
                return known.etag
            return bucket.send(key, upload_id, number=number, content=data)

        sent = [pool.submit(send, number) for number in range(1, -(-content.size // bytes_each) + 1)]
        try:
            etags = [part.result() for part in sent]
        finally:
            pool.shutdown(cancel_futures=True)
    whole = [etag for etag in etags if etag]
    return whole if len(whole) == len(etags) else None


def _read(file: BinaryIO, content: Snapshot, *, start: int, length: int) -> bytes:
    data = os.pread(file.fileno(), length, start)
    if len(data) != min(length, content.size - start):
        content.verify()
        raise StoreError(f"{content.path} ended early; run again")
    return data


def _is_same_part(part: Part, data: bytes) -> bool:
    """Whether the received part equals `data`.

    The ETag of a part is its MD5, unless the service encrypts with its own keys; then the part is sent again.
    """
    return part.size == len(data) and part.etag == hashlib.md5(data, usedforsecurity=False).hexdigest()
