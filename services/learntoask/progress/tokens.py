"""Checks projected service-account tokens against the API server's published keys.

TokenReview would need a cluster-wide permission, which an operator installed in one namespace does not have. Every
service account may read the published keys.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import PyJWK, PyJWKSet

from learntoask.core.pod_contract import PROGRESS_AUDIENCE

# HMAC algorithms are left out: anyone could sign with the public key as their secret.
_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
_LEEWAY_SECONDS = 10.0  # allowed difference of clocks
_FETCH_AGAIN_SECONDS = 30.0  # between fetches for an unknown key, because anyone can send an invented key id

Keys = Callable[[], Awaitable[Mapping[str, Any]]]
"""Fetches the API server's JSON Web Key Set (`/openid/v1/jwks`)."""


class TokenRefused(Exception):
    """A token is not accepted. The message says why and contains no part of the token."""


@dataclass(frozen=True, kw_only=True)
class PodIdentity:
    """The pod that a token was issued for."""

    namespace: str
    pod: str
    uid: str
    service_account: str


def identity_of(claims: Mapping[str, Any]) -> PodIdentity:
    """Return the pod that a token's claims name.

    Raises TokenRefused if they name none, as those of a token from `kubectl create token`.
    """
    bound: Any = claims.get("kubernetes.io")
    try:
        return PodIdentity(
            namespace=str(bound["namespace"]),
            pod=str(bound["pod"]["name"]),
            uid=str(bound["pod"]["uid"]),
            service_account=str(bound["serviceaccount"]["name"]),
        )
    except (KeyError, TypeError):
        raise TokenRefused("the token is not bound to a pod; it must be a projected one") from None


class TokenVerifier:
    """Verifies tokens. It fetches the keys when a token names an unknown one, because the API server rotates them."""

    def __init__(
        self, keys: Keys, *, audience: str = PROGRESS_AUDIENCE, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._audience = audience
        self._now = now
        self._known: dict[str, PyJWK] = {}
        self._fetched: float | None = None

    async def __call__(self, token: str) -> PodIdentity:
        """Return the pod that `token` was issued for. Raises TokenRefused, and what fetching the keys raises."""
        try:
            key = await self._key(jwt.get_unverified_header(token).get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenRefused(
                "the token has expired; read it again from its file, where it is renewed"
            ) from None
        except jwt.InvalidAudienceError:
            raise TokenRefused(f"the token is not for {self._audience}") from None
        except jwt.InvalidTokenError as error:
            raise TokenRefused(f"the token is not valid: {error}") from None
        return identity_of(claims)

    async def _key(self, name: str | None) -> PyJWK:
        if not name:
            raise TokenRefused("the token does not name the key it is signed with")
        due = self._fetched is None or self._now() - self._fetched >= _FETCH_AGAIN_SECONDS
        if name not in self._known and due:
            published = PyJWKSet.from_dict(dict(await self._keys()))
            self._known = {str(key.key_id): key for key in published.keys}
            self._fetched = self._now()
        if name not in self._known:
            raise TokenRefused("the token is signed with a key that the API server does not publish")
        return self._known[name]
