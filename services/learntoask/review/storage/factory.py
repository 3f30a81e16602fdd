"""Creation of a queue's storage from an address. The S3 client is only imported for S3 addresses."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.review.storage.folder import FolderStorage
from learntoask.review.storage.protocol import QueueStorage
from learntoask.store.address import StoreAddress, bucket_and_key
from learntoask.store.factory import open_bucket
from learntoask.store.s3.retry import PATIENCE, Patience

_QUEUE = re.compile(r"[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?")


def open_queue_storage(
    address: StoreAddress,
    queue: str,
    environment: Mapping[str, str] = os.environ,
    *,
    patience: Patience = PATIENCE,
) -> QueueStorage:
    """Return the storage of `queue` below `reviews/` at `address`: a run's folder, or a store.

    No request is sent yet. Raises InputError for an invalid address or name.
    """
    if not _QUEUE.fullmatch(queue):
        raise InputError(
            f"the queue's name {queue!r} must be 1 to 128 small letters, digits and `._-`, and begin and end with a "
            "letter or digit"
        )
    if not address.is_s3:
        return FolderStorage(Path(address.uri) / "reviews" / queue)
    from learntoask.review.storage.bucket import BucketStorage  # noqa: PLC0415 - half a second of imports

    name, prefix = bucket_and_key(address.uri, field="the store's address")
    below = f"{prefix}/reviews/{queue}/" if prefix else f"reviews/{queue}/"
    return BucketStorage(open_bucket(name, address, environment, patience=patience), prefix=below)
