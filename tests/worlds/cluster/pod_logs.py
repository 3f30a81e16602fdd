"""Serves container logs to the API server as a kubelet does: from files, over HTTPS on loopback."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from worlds.cluster.certificates import Authority

_LOOK_AGAIN = 0.2


class LogServer:
    """Serves the logs until closed.

    `log` returns the log file of a pod (namespace, name), and `over` whether the pod writes no more. The authority in
    the folder `authority` signs the server's certificate.
    """

    def __init__(
        self,
        authority: Path,
        *,
        log: Callable[[str, str], Path | None],
        over: Callable[[str, str], bool],
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # the end of the connection is the end of the log

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                _, kind, namespace, pod, *_ = parts.path.split("/")
                path = log(namespace, pod) if kind == "containerLogs" else None
                if path is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                query = parse_qs(parts.query)
                follow = query.get("follow") == ["true"]
                with suppress(OSError):  # the caller has disconnected
                    for chunk in _chunks(
                        path, query.get("tailLines"), lambda: not follow or over(namespace, pod)
                    ):
                        self.wfile.write(chunk)
                        self.wfile.flush()

            def log_message(self, format: str, *arguments: object) -> None:
                """Log nothing on the terminal of the tests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        identity = Authority(authority).signed("process-node", hosts=("127.0.0.1",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, name="pod logs", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _chunks(path: Path, tail: list[str] | None, ended: Callable[[], bool]) -> Iterator[bytes]:
    lines = path.read_bytes().splitlines(keepends=True)
    read = sum(map(len, lines))
    yield b"".join(lines[-int(tail[0]) :] if tail else lines)
    with path.open("rb") as file:
        file.seek(read)
        while True:
            last = ended()
            while chunk := file.read(65536):
                yield chunk
            if last:
                return
            time.sleep(_LOOK_AGAIN)
