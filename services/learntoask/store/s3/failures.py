"""Interpretation of failed S3 requests: whether a retry may succeed, and the error message for the user."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from http.client import IncompleteRead

from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, SSLError

from learntoask.core.errors import StoreError
from learntoask.store.s3.retry import first_line

_FULL = ("XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded")
_REFUSED = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "AccessKeyDisabled",
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The target of requests, for error messages. `credentials` says where they were found; it never contains them."""

    bucket: str
    endpoint: str
    credentials: str

    def of(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed later, because of an outage, overload or a broken connection."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        error = error.reason
    if isinstance(error, SSLError):
        return not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in error.args)
    if isinstance(error, S3Error | ServerError | InvalidResponseError):
        status = http_status(error)
        return status in (408, 429) or (status >= 500 and status not in (501, 507))
    if isinstance(error, LocationValueError):
        return False
    return isinstance(error, HTTPError | ConnectionError | TimeoutError)


def http_status(error: Exception) -> int:
    if isinstance(error, S3Error):
        return int(error.response.status)
    if isinstance(error, ServerError):
        return int(error.status_code)
    return int(getattr(error, "_code", 0))  # InvalidResponseError has no public attribute for it


def error_code(error: Exception) -> str:
    return (error.code or "") if isinstance(error, S3Error) else ""


def store_error(error: Exception, *, doing: str, key: str, place: Place) -> StoreError:
    """Return a StoreError that says what failed (`doing` for the object `key`), why, and what to do.

    The message contains nothing from the headers of the request, because they may contain credentials.
    """
    where, code = f"{doing} {place.of(key)} at {place.endpoint}", error_code(error)
    if code == "NoSuchBucket":
        return StoreError(
            f"{where}: there is no bucket {place.bucket!r}. Create it, or correct spec.store.uri or LTA_STORE",
            reason="NoSuchBucket",
            retryable=False,
        )
    if code in _REFUSED:
        return StoreError(
            f"{where}: the credentials are refused ({code}); they come from {place.credentials}",
            reason="CredentialsRefused",
            retryable=code == "ExpiredToken",  # the next attempt may get a new one
        )
    if code == "AccessDenied" or http_status(error) == 403:
        return StoreError(
            f"{where}: access is denied. The credentials ({place.credentials}) need list, read, write, delete and "
            f"multipart rights on this bucket",
            reason="AccessDenied",
            retryable=False,
        )
    if code == "PreconditionFailed":
        return StoreError(f"{where}: the object was replaced during the download; run again")
    if code == "RequestTimeTooSkewed":
        return StoreError(
            f"{where}: the clocks of this machine and of the server differ; correct the clock of this machine"
        )
    if code in _FULL or http_status(error) == 507:
        return StoreError(
            f"{where}: the store is full. Make room (`lta gc`) and run again", reason="DiskFull"
        )
    if isinstance(error, SSLError) and not is_transient(error):
        return StoreError(
            f"{where}: its certificate is not trusted ({first_line(error)}). Give the authority as spec.store.ca or "
            "in LTA_STORE_CA",
            reason="CertificateNotTrusted",
            retryable=False,
        )
    if is_transient(error) and (isinstance(error, S3Error) or _broke_off(error)):
        how = f"{code}: {error.message}" if isinstance(error, S3Error) else "its answers break off"
        return StoreError(
            f"{where}: the server keeps failing ({how}). Look at its log; where it lost the object's data, remove the "
            "object and run again: the stage that makes it is repeated",
            reason="ServerFailing",
        )
    if is_transient(error):
        return StoreError(
            f"{where}: no answer ({first_line(error)}). Check spec.store.endpoint and that the server is up, then run "
            "again: what was stored is kept",
            reason="Unreachable",
        )
    detail = f"{code}: {error.message}" if isinstance(error, S3Error) else first_line(error)
    return StoreError(f"{where}: {detail}")


def _broke_off(error: Exception) -> bool:
    """Whether a response ended early, as those of MinIO do when the content on its disk is lost or damaged."""
    return any(isinstance(cause, IncompleteRead) for cause in (error, *error.args))
