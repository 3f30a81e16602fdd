"""A small HTTP proxy on loopback, and names outside of it that only the proxy can reach."""

from __future__ import annotations

import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit


class Proxy(socketserver.ThreadingTCPServer):
    """Forwards requests and tunnels to `places`, ports of this machine by the `host:port` that clients ask for.

    `seen` has the method and the target of every request.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # with five, clients that connect at once wait for repeated packets

    def __init__(self, places: Mapping[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.places = places
        self.seen: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_CONNECT(self) -> None:
        port = self._place(self.path)
        if port is None:
            return
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            # select() knows only the first 1,024 descriptors of a process, and a worker of the tests may have more.
            with selectors.DefaultSelector() as ready:
                ready.register(self.connection, selectors.EVENT_READ, upstream)
                ready.register(upstream, selectors.EVENT_READ, self.connection)
                while True:
                    for key, _ in ready.select():
                        try:
                            data = key.fileobj.recv(65536)
                        except ConnectionResetError:  # the client was killed
                            data = b""
                        if not data:
                            self.close_connection = True
                            return
                        key.data.sendall(data)

    def _forward(self) -> None:
        parts = urlsplit(self.path)
        port = self._place(parts.netloc)
        if port is None:
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        upstream = HTTPConnection("127.0.0.1", port)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        upstream.request(self.command, path, body=body, headers=dict(self.headers))
        answer = upstream.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        if self.command != "HEAD" and "content-length" not in answer.headers:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        upstream.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward

    def _place(self, target: str) -> int | None:
        self.server.seen.append((self.command, target))
        port = self.server.places.get(target)
        if port is None:
            self.send_error(HTTPStatus.BAD_GATEWAY)
        return port


@contextmanager
def proxy(**places: int) -> Iterator[Proxy]:
    """Run a proxy that reaches each place as `NAME.example:80`."""
    server = Proxy({f"{name}.example{port}": place for name, place in places.items() for port in ("", ":80")})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
