"""Access keys of an S3 service, from the environment, a file or a mounted Secret, or the keys of the identity that a
cloud gives to this pod or machine. No message ever contains them.

Files are read again for every request, so that a run that lasts for days uses the keys of a rotated Secret.
"""

from __future__ import annotations

import configparser
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from minio.credentials import Credentials, Provider

from learntoask.core.errors import InputError, StoreError
from learntoask.store.s3.identity import find_identity, find_machine

_VARIABLES = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"),
)
_SECRET_KEYS = (
    ("accessKey", "secretKey", "sessionToken"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)


class FoundCredentials(Provider):
    """Credentials for the minio client, read from a source. `source` describes it for messages."""

    def __init__(self, source: str, read: Callable[[], Credentials]) -> None:
        self.source = source
        self._read = read

    def retrieve(self) -> Credentials:
        return self._read()


def find_credentials(
    path: Path | None, environment: Mapping[str, str], *, amazon: bool = False, ca: Path | None = None
) -> FoundCredentials:
    """Find the keys in `path` (a folder or a file), else in the environment, else those of the pod's identity, else in
    the AWS credentials file, else, for Amazon's service (`amazon`), those of the machine.

    `ca` is the authority of the service that gives keys for an identity. Raises InputError that says where keys can be
    given.
    """
    if path is not None:
        return _check_readable(FoundCredentials(str(path), lambda: _read_path(path, environment)))
    for access, secret in _VARIABLES:
        if environment.get(access) and environment.get(secret):
            given = (environment[access], environment[secret], environment.get("AWS_SESSION_TOKEN"))
            return FoundCredentials(f"{access} in the environment", partial(Credentials, *given))
    if identity := find_identity(environment, ca=ca):
        return FoundCredentials(identity.source, identity.retrieve)
    shared = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    if shared.is_file():
        return _check_readable(FoundCredentials(str(shared), lambda: _read_path(shared, environment)))
    if amazon and (machine := find_machine(environment)):
        return FoundCredentials(machine.source, machine.retrieve)
    raise InputError(
        "an s3:// address needs credentials, and none were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "name a file or folder that holds them in LTA_STORE_CREDENTIALS or spec.store.credentials.file, or give the "
        "pod an identity (docs/stores.md)"
    )


def _check_readable(found: FoundCredentials) -> FoundCredentials:
    try:
        found.retrieve()
    except StoreError as error:  # at the start the user's input is wrong; later it may be a rotation
        raise InputError(str(error)) from error
    return found


def _read_path(path: Path, environment: Mapping[str, str]) -> Credentials:
    try:
        return _from_folder(path) if path.is_dir() else _from_file(path, environment)
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"credentials {path} cannot be read: {type(error).__name__}") from None


def _from_folder(path: Path) -> Credentials:
    # Kubernetes replaces the link ..data when a Secret changes. It is resolved once, so that both keys are of one
    # version.
    folder = (path / "..data").resolve() if (path / "..data").exists() else path
    for access, secret, token in _SECRET_KEYS:
        if (folder / access).is_file() and (folder / secret).is_file():
            return _keys(path, *(_line(folder / name) for name in (access, secret, token)))
    raise StoreError(f"credentials {path} holds no files accessKey and secretKey")


def _line(path: Path) -> str | None:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _from_file(path: Path, environment: Mapping[str, str]) -> Credentials:
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("{"):
        try:
            held = json.loads(text)
        except ValueError:
            raise StoreError(f"credentials {path} is not valid JSON") from None
        return _keys(path, *(held.get(name) for name in ("accessKey", "secretKey", "sessionToken")))
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:  # its messages contain the line, and thus perhaps a key
        raise StoreError(f"credentials {path} is neither JSON nor an AWS credentials file") from None
    profile = environment.get("AWS_PROFILE") or "default"
    if not parser.has_section(profile):
        raise StoreError(f"credentials {path} has no profile [{profile}]")
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return _keys(path, *(parser.get(profile, name, fallback=None) for name in names))


def _keys(path: Path, access: str | None, secret: str | None, token: str | None) -> Credentials:
    if not access or not secret:
        raise StoreError(f"credentials {path}: the access key or the secret key is missing or empty")
    return Credentials(access, secret, token or None)
