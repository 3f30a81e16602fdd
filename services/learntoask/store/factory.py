"""Creation of a store from its address. The S3 client is only imported for S3 addresses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from learntoask.core.errors import InputError
from learntoask.store.address import StoreAddress, bucket_and_key
from learntoask.store.folder import FolderStore
from learntoask.store.protocol import Store
from learntoask.store.s3.retry import PATIENCE, Patience

if TYPE_CHECKING:
    from learntoask.store.s3.bucket import Bucket


def open_store(
    address: StoreAddress, environment: Mapping[str, str] = os.environ, *, patience: Patience = PATIENCE
) -> Store:
    """Return the store at `address`, with credentials from the file that it names or from `environment`.

    No request is sent yet. Raises InputError for an invalid address; StoreError follows from the first use on.
    """
    if not address.is_s3:
        folder = Path(address.uri)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"the store's address {folder} is a file; name a folder or an s3:// address")
        return FolderStore(folder)
    from learntoask.store.s3.store import S3Store  # noqa: PLC0415 - half a second of imports

    bucket, prefix = bucket_and_key(address.uri, field="the store's address")
    return S3Store(open_bucket(bucket, address, environment, patience=patience), prefix=prefix)


def open_bucket(
    name: str,
    address: StoreAddress,
    environment: Mapping[str, str] = os.environ,
    *,
    patience: Patience = PATIENCE,
) -> Bucket:
    """Return the bucket `name` at the S3 service of `address`. Raises InputError for an invalid address."""
    from learntoask.store.s3.bucket import Bucket  # noqa: PLC0415
    from learntoask.store.s3.client import connect, connection_pool  # noqa: PLC0415
    from learntoask.store.s3.credentials import find_credentials  # noqa: PLC0415
    from learntoask.store.s3.endpoint import s3_endpoint  # noqa: PLC0415
    from learntoask.store.s3.failures import Place  # noqa: PLC0415

    endpoint = s3_endpoint(address.endpoint, region=address.region, bucket=name)
    pool = connection_pool(endpoint.url, environment, ca=address.ca)
    credentials = find_credentials(address.credentials, environment, amazon=endpoint.amazon, ca=address.ca)
    client = connect(endpoint, credentials, pool=pool)
    place = Place(bucket=name, endpoint=endpoint.url, credentials=credentials.source)
    return Bucket(client, place=place, patience=patience)
