"""Who uses the review page: signed links, names vouched for by a proxy, and tokens against forged forms.

A link holds name, role, queue and end of validity, and their HMAC-SHA256 with the key of the queue. The server keeps no
list of sessions, so links work on every server of the queue and after a restart. A new key ends all links.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from learntoask.core.errors import InputError
from learntoask.core.records import Record
from learntoask.review.records import REVIEWER_NAME

_KEY_BYTES = 32
_LONGEST_LINK = 2000  # characters
_DAY = 86_400.0  # seconds


class Role(StrEnum):
    """A reviewer answers; an adjudicator decides where reviewers disagree; a viewer only sees how far the review is."""

    REVIEWER = "reviewer"
    ADJUDICATOR = "adjudicator"
    VIEWER = "viewer"


class Person(Record):
    """A user of the page. `expires` is in seconds since the epoch."""

    name: Annotated[str, Field(pattern=REVIEWER_NAME)]
    role: Role
    queue: Annotated[str, Field(min_length=1)]
    expires: float


def invited(name: str, *, role: Role, queue: str, days: float) -> Person:
    """Return a person whose link is valid for `days` from now. Raises InputError for a name that nobody can have."""
    try:
        return Person(name=name, role=role, queue=queue, expires=time.time() + days * _DAY)
    except ValidationError:
        raise InputError(
            f"{name!r} cannot be a reviewer's name: give up to 64 letters, digits, spaces and _.@+-"
        ) from None


class LinkRefused(InputError):
    """The link or the proxy's word does not admit the person; the message says why and what to do."""


def read_key(path: Path, *, create: bool = False) -> bytes:
    """Return the queue's key from a file of at least 32 bytes, which `create` makes if it is missing.

    Raises InputError for an unreadable or short key.
    """
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with_key = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(with_key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(with_key, path)  # unlike a rename it keeps the key of a server that was faster
        except FileExistsError:
            pass
        finally:
            with_key.unlink()
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"cannot read the key of the review links, {path}: {error.strerror}") from error
    if len(key) < _KEY_BYTES:
        raise InputError(
            f"the key of the review links, {path}, has {len(key)} bytes and needs {_KEY_BYTES}: write it with "
            "`openssl rand -hex 32`"
        )
    return key


def sign(person: Person, key: bytes) -> str:
    """Return the token of a link for `person`: payload and signature, both base64url."""
    payload = person.model_dump_json().encode()
    return f"{_text(payload)}.{_text(_mac(key, b'link', payload))}"


def person_of(token: str, key: bytes, *, queue: str, now: float) -> Person:
    """Return the person of a token. Raises LinkRefused if it was changed, has ended or is for another queue."""
    payload, _, signature = token.partition(".")
    try:
        if len(token) > _LONGEST_LINK:
            raise ValueError
        signed, given = _bytes(payload), _bytes(signature)
        if not hmac.compare_digest(given, _mac(key, b"link", signed)):
            raise ValueError
        person = Person.model_validate_json(signed)
    except (ValueError, ValidationError):
        raise LinkRefused(
            "This link is not complete or was changed. Open it again as you received it, or ask for a new one.",
            reason="LinkChanged",
        ) from None
    if person.queue != queue:
        raise LinkRefused(
            f"This link is for the review {person.queue!r}, and this is the review {queue!r}. Ask for a link to it.",
            reason="OtherQueue",
        )
    if now >= person.expires:
        raise LinkRefused(
            "This link has expired. Ask for a new one; your answers are kept.", reason="LinkExpired"
        )
    return person


def form_token(person: Person, key: bytes) -> str:
    """Return the token that the forms of `person` carry, so that another site cannot send them."""
    return _text(_mac(key, b"form", person.model_dump_json().encode()))


def form_token_holds(given: str, person: Person, key: bytes) -> bool:
    return hmac.compare_digest(given.encode(), form_token(person, key).encode())


@dataclass(frozen=True)
class TrustedProxy:
    """A proxy that has authenticated the user and names them in `header`.

    Only connections from `peers` (networks in CIDR notation) may carry the header. `roles` gives the roles of names
    whose role is not `default`; without a default, other names are refused.
    """

    header: str
    peers: tuple[str, ...]
    roles: Mapping[str, Role] = field(default_factory=dict)
    default: Role | None = None

    def __post_init__(self) -> None:
        if not self.peers:
            raise InputError(f"name the proxy's addresses that may send the header {self.header}")
        for peer in self.peers:
            try:
                ipaddress.ip_network(peer)
            except ValueError as error:
                raise InputError(
                    f"address of the trusted proxy: {error}; write 10.0.0.0/8 or ::1/128"
                ) from None

    def person(self, name: str | None, peer: str | None, *, queue: str) -> Person:
        """Return the person that the proxy names. Raises LinkRefused without a name, or from another peer."""
        if peer is None or not any(_inside(peer, network) for network in self.peers):
            raise LinkRefused(
                "This page is reached through a proxy that knows its users; open the proxy's address instead.",
                reason="NotThroughProxy",
            )
        if not name:
            raise LinkRefused("The proxy did not say who you are: sign in there first.", reason="NoName")
        role = self.roles.get(name, self.default)
        if role is None:
            raise LinkRefused(f"{name!r} may not use this review. Ask for a role in it.", reason="NoRole")
        try:
            return Person(name=name, role=role, queue=queue, expires=float("inf"))
        except ValidationError:
            raise LinkRefused(
                f"The name {name[:80]!r} has characters that a reviewer's name cannot have. Ask for another one.",
                reason="BadName",
            ) from None


def _inside(peer: str, network: str) -> bool:
    address = ipaddress.ip_address(peer.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address in ipaddress.ip_network(network)


def _mac(key: bytes, purpose: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, purpose + b"\0" + payload, "sha256")


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
