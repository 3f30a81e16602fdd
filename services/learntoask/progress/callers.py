"""Finds out which pod calls the operator, by the token that the call carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc

from learntoask.progress.tokens import PodIdentity, TokenRefused
from learntoask.rpc.logs import LOGGER

Verify = Callable[[str], Awaitable[PodIdentity]]
"""Returns the pod that a token belongs to. Raises TokenRefused; any other exception means that checking failed."""
_UNAUTHENTICATED, _UNAVAILABLE = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE


async def calling_pod(context: grpc.aio.ServicerContext, verify: Verify) -> PodIdentity:
    """Return the pod that makes the call, or end the call with the reason why it is not known."""
    token = _token(context)
    if not token:
        await context.abort(_UNAUTHENTICATED, "authorization: send metadata `authorization: Bearer TOKEN`")
    try:
        return await verify(token)
    except TokenRefused as error:
        await context.abort(_UNAUTHENTICATED, f"authorization: {error}")
    except Exception as error:
        LOGGER.warning("the keys of the API server cannot be fetched: %s", error)
        await context.abort(
            _UNAVAILABLE, "the keys of the API server cannot be fetched now; call again later"
        )
    raise AssertionError("abort raises")


def _token(context: grpc.aio.ServicerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str) and value.startswith("Bearer "):
            return value.removeprefix("Bearer ").strip()
    return ""
