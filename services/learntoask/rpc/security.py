"""Access to a server: TLS, client certificates and a bearer token, all optional."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from learntoask.core.errors import InputError
from learntoask.rpc.config import ListenConfig

_HEALTH = "/grpc.health."  # probes carry no token


def server_credentials(config: ListenConfig) -> grpc.ServerCredentials | None:
    """Return the credentials of a server with TLS, None for one without. Raises InputError if a file is unreadable."""
    if config.tls_certificate is None or config.tls_key is None:
        return None
    authority = _read(config.tls_client_ca, "tls_client_ca") if config.tls_client_ca else None
    return grpc.ssl_server_credentials(
        [(_read(config.tls_key, "tls_key"), _read(config.tls_certificate, "tls_certificate"))],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


class BearerToken(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Interceptor that refuses calls without the token, except health checks."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(details)
        if handler is None or details.method.startswith(_HEALTH) or self._carried_by(details):
            return handler
        return _refusal(handler)

    def _carried_by(self, details: grpc.HandlerCallDetails) -> bool:
        for key, value in details.invocation_metadata or ():
            if key == "authorization":
                return hmac.compare_digest(value.encode(), self._expected)
        return False


def _refusal(handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
    """Return a handler with the same arity as `handler`, so that a stream is refused before its first message."""

    async def refuse(_request: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            "authorization: bearer token missing or wrong; send metadata `authorization: Bearer TOKEN`",
        )

    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return kinds[handler.request_streaming, handler.response_streaming](refuse)


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {path} cannot be read: {error}") from error
