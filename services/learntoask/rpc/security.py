"""Access to a server: TLS, client certificates and a bearer token, all optional."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from learntoask.core.errors import InputError
from learntoask.rpc.config import ListenConfig
from learntoask.rpc.files import Versions, file_versions, read_file
from learntoask.rpc.logs import LOGGER

_HEALTH = "/grpc.health."  # probes carry no token


def server_credentials(config: ListenConfig) -> grpc.ServerCredentials | None:
    """Return the credentials of a server with TLS, None for one without. Raises InputError if a file is unreadable.

    New connections use the files as they are then, so a renewed certificate needs no restart.
    """
    if config.tls_certificate is None or config.tls_key is None:
        return None
    certificates = _Certificates(config.tls_key, config.tls_certificate, config.tls_client_ca)
    return grpc.dynamic_ssl_server_credentials(
        certificates.read(), certificates.renewed, require_client_authentication=bool(config.tls_client_ca)
    )


class _Certificates:
    """Certificate, key and clients' authority of a server, which are read again once a file has changed."""

    def __init__(self, key: Path, certificate: Path, authority: Path | None) -> None:
        self._key, self._certificate, self._authority = key, certificate, authority
        self._versions: Versions = ()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Read the files. Raises InputError if one is unreadable."""
        versions = self._seen()
        read = grpc.ssl_server_certificate_configuration(
            [(read_file(self._key, "tls_key"), read_file(self._certificate, "tls_certificate"))],
            root_certificates=read_file(self._authority, "tls_client_ca") if self._authority else None,
        )
        self._versions = versions
        return read

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the files if they changed, or None to keep those of before. gRPC asks for each new connection."""
        if self._seen() == self._versions:
            return None
        try:
            read = self.read()
        except InputError as error:  # in the middle of a renewal, or removed
            LOGGER.warning("certificate kept", extra={"fields": {"error": str(error)}})
            return None
        LOGGER.info("certificate renewed", extra={"fields": {"file": str(self._certificate)}})
        return read

    def _seen(self) -> Versions:
        return file_versions((self._key, self._certificate, self._authority))


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
