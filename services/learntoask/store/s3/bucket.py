"""A bucket of an S3 service. Only this module sends requests to the service.

Each request is retried while the service is unavailable (see `retry`) and fails with a StoreError that names the
object. Multipart uploads use private methods of the minio package, because its public ones cannot continue an
interrupted upload. The version of minio is pinned for that reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from minio import Minio
from minio.commonconfig import CopySource
from minio.datatypes import ListPartsResult, Object, Part
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from learntoask.store.s3.failures import Place, is_transient, store_error
from learntoask.store.s3.retry import Patience, call_with_retries

T = TypeVar("T")
_ABSENT = ("NoSuchKey", "NoSuchUpload")
_CONDITION_FAILED = ("PreconditionFailed", "ConditionalRequestConflict")
_PAGE = 1000  # objects that a service lists in one answer
_BYTES = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An object in a bucket. `size` is in bytes, `modified` in seconds since the epoch by the server's clock."""

    key: str
    size: int
    modified: float
    etag: str


class Bucket:
    """A bucket. Methods return None or nothing for a missing object, and raise StoreError for failed requests."""

    def __init__(self, client: Minio, *, place: Place, patience: Patience) -> None:
        self._client, self._name, self._patience = client, place.bucket, patience
        self.place = place

    def stat(self, key: str) -> Entry | None:
        """Return the object without its content, or None."""
        found = self._call(
            "reading", key, lambda: _none_if_absent(lambda: self._client.stat_object(self._name, key))
        )
        return _entry(key, found) if found else None

    def read(
        self, key: str, *, start: int = 0, length: int = 0, etag: str | None = None
    ) -> tuple[bytes, str] | None:
        """Return the content of an object (`length` bytes from `start`, or all of it) and its ETag.

        With `etag` only that version is read; another version is a StoreError.
        """
        condition = {"If-Match": f'"{etag}"'} if etag else {}

        def request() -> tuple[bytes, str]:
            response = self._client.get_object(
                self._name, key, offset=start, length=length, request_headers={**condition}
            )
            try:
                return response.read(), response.headers.get("etag", "").strip('"')
            finally:
                response.close()
                response.release_conn()

        return self._call("reading", key, lambda: _none_if_absent(request))

    def write(self, key: str, content: bytes) -> None:
        """Create or replace an object."""
        self._call("writing", key, lambda: self._client._put_object(self._name, key, content, {**_BYTES}))

    def write_first(self, key: str, content: bytes, *, instead_of: str | None) -> bool:
        """Write an object that does not exist, or that has the ETag `instead_of`; return whether it was written.

        A service without conditional requests always writes it.
        """
        condition = {"If-Match": f'"{instead_of}"'} if instead_of else {"If-None-Match": "*"}

        def request() -> bool:
            try:
                self._client._put_object(self._name, key, content, {**_BYTES, **condition})
            except S3Error as error:
                if error.code in _CONDITION_FAILED:
                    return False
                raise
            return True

        return self._call("writing", key, request)

    def entries(self, prefix: str, *, after: str | None = None, most: int | None = None) -> Iterator[Entry]:
        """Iterate over the objects whose keys start with `prefix`, in the order of their keys.

        With `after` only those with later keys, and with `most` at most so many.
        """
        page = self._page(prefix, after, most)
        while page:
            yield from (_entry(str(found.object_name), found) for found in page)
            if len(page) < _PAGE:
                return
            most = None if most is None else most - len(page)
            page = self._page(prefix, page[-1].object_name, most)

    def remove(self, key: str) -> None:
        self._call("removing", key, lambda: self._client.remove_object(self._name, key))

    def rename(self, key: str, target: str) -> None:
        """Copy an object to `target` on the server (in parts from 5 GiB on) and remove it."""

        def copy() -> object:
            return self._client.copy_object(self._name, target, CopySource(self._name, key))

        if self._call("copying", key, lambda: _none_if_absent(copy)):
            self.remove(key)

    def uploads(self, key: str) -> list[str]:
        """Return the ids of the pending multipart uploads of this object, oldest first.

        Pending uploads were neither completed nor aborted. MinIO only lists them for a whole key.
        """
        found = self._call(
            "listing uploads of", key, lambda: self._client._list_multipart_uploads(self._name, prefix=key)
        )
        return [str(upload.upload_id) for upload in found.uploads if upload.object_name == key]

    def begin(self, key: str) -> str:
        """Start a multipart upload and return its id."""
        return self._call(
            "writing", key, lambda: self._client._create_multipart_upload(self._name, key, {**_BYTES})
        )

    def parts(self, key: str, upload: str) -> list[Part] | None:
        """Return the parts that the service has received, by number, or None if the upload is not pending."""
        found = self._parts_after(key, upload, None)
        parts = list(found.parts) if found else None
        while found and parts is not None and found.is_truncated and found.next_part_number_marker:
            found = self._parts_after(key, upload, found.next_part_number_marker)
            parts = parts + found.parts if found else None
        return parts

    def send(self, key: str, upload: str, *, number: int, content: bytes) -> str | None:
        """Send part `number` (from 1) and return its ETag, or None if the upload is not pending.

        A part that was sent before is replaced.
        """

        def request() -> str:
            return self._client._upload_part(self._name, key, content, None, upload, number)

        return self._call("writing", key, lambda: _none_if_absent(request))

    def complete(self, key: str, upload: str, etags: list[str]) -> None:
        """Create the object from its parts, if all of them still exist.

        The caller has to check whether the object exists afterwards. An upload that is not pending any more may have
        been completed by another process, or by this request if its response was lost.
        """
        parts = [Part(number, etag) for number, etag in enumerate(etags, 1)]

        def request() -> None:
            try:
                self._client._complete_multipart_upload(self._name, key, upload, parts)
            except S3Error as error:
                if error.code not in (*_ABSENT, "InvalidPart"):
                    raise

        self._call("writing", key, request)

    def abort(self, key: str, upload: str) -> None:
        """End a pending upload and remove its parts, if it exists."""

        def request() -> None:
            self._client._abort_multipart_upload(self._name, key, upload)

        self._call("ending an upload of", key, lambda: _none_if_absent(request))

    def _parts_after(self, key: str, upload: str, marker: str | None) -> ListPartsResult | None:
        def request() -> ListPartsResult:
            return self._client._list_parts(self._name, key, upload, part_number_marker=marker)

        return self._call("listing parts of", key, lambda: _none_if_absent(request))

    def _page(self, prefix: str, after: str | None, most: int | None) -> list[Object]:
        def request() -> list[Object]:
            found = self._client.list_objects(self._name, prefix=prefix, recursive=True, start_after=after)
            return list(islice(found, _PAGE if most is None else min(most, _PAGE)))

        return self._call("listing", prefix, request)

    def _call(self, doing: str, key: str, request: Callable[[], T]) -> T:
        where = f"{doing} {self.place.of(key)} at {self.place.endpoint}"
        try:
            return call_with_retries(request, is_transient=is_transient, patience=self._patience, doing=where)
        except (MinioException, HTTPError, ConnectionError, TimeoutError, ValueError) as error:
            raise store_error(error, doing=doing, key=key, place=self.place) from error


def _none_if_absent(request: Callable[[], T]) -> T | None:
    """Call `request` and return its result, or None if the object or upload does not exist."""
    try:
        return request()
    except S3Error as error:
        if error.code in _ABSENT:
            return None
        raise


def _entry(key: str, found: Object) -> Entry:
    modified = found.last_modified.timestamp() if isinstance(found.last_modified, datetime) else 0.0
    return Entry(key=key, size=found.size or 0, modified=modified, etag=found.etag or "")
