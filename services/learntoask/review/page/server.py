"""Runs the review page as a process that ends on SIGTERM, or in a thread of this process."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from learntoask.core.errors import InputError
from learntoask.core.network.address import join_host_port, listening_socket
from learntoask.review.page.access import Person, sign

_GRACE_SECONDS = 10  # for requests that run when the server is told to end


def link_of(address: str, person: Person, key: bytes) -> str:
    """Return the link that admits `person` to the page at `address`, such as `http://127.0.0.1:8080`."""
    return f"{address.rstrip('/')}/enter?link={sign(person, key)}"


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Port 0 takes a free one. Raises InputError if the address cannot be bound."""
    try:
        return listening_socket(host, port)
    except OSError as error:
        raise InputError(
            f"the review page cannot listen on {join_host_port(host, port)}: {error.strerror}; choose another port"
        ) from error


def address_of(listening: socket.socket) -> str:
    """Return the HTTP address of a listening socket, on loopback if it listens on every address."""
    host, port = listening.getsockname()[:2]
    return f"http://{join_host_port({'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host), port)}"


def serve(app: Starlette, listening: socket.socket, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that run. `ready` gets the address.

    Must be called in the main thread, which alone gets signals.
    """
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        with in_thread(app, listening) as address:
            if ready:
                ready(address)
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def in_thread(app: Starlette, listening: socket.socket) -> Iterator[str]:
    """Serve from a thread until the block ends, then finish the requests that run. The value is the address."""
    server = _server(app)
    thread = threading.Thread(target=lambda: server.run([listening]), name="review page", daemon=True)
    thread.start()
    try:
        yield address_of(listening)  # connections wait in the socket until the server takes them
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _server(app: Starlette) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,  # addresses hold links
            proxy_headers=False,  # the peer decides whether a header counts, so it must be the real one
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
