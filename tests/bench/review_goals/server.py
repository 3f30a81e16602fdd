"""A server of the review page that is killed and started again, as a process of its own on a fixed port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from learntoask.review.page.access import Person, Role
from learntoask.review.page.app import ReviewPage
from learntoask.review.page.guideline import Wording
from learntoask.review.page.server import bind, link_of, serve
from learntoask.review.queue import ReviewQueue
from learntoask.review.settings import ReviewSettings
from learntoask.review.storage.factory import open_queue_storage
from learntoask.review.storage.protocol import QueueStorage
from learntoask.store.address import StoreAddress

QUEUE = "clinic"
KEY = b"0123456789abcdef0123456789abcdef"
_START_SECONDS = 120.0


class Server:
    """The process. `start` returns when it answers."""

    def __init__(self, address: StoreAddress, settings: ReviewSettings, environment: dict[str, str]) -> None:
        self.address, self.settings, self.environment = address, settings, environment
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def storage(self) -> QueueStorage:
        return open_queue_storage(self.address, QUEUE, self.environment)

    def link(self, reviewer: str) -> str:
        person = Person(name=reviewer, role=Role.REVIEWER, queue=QUEUE, expires=time.time() + 86_400)
        return link_of(f"http://127.0.0.1:{self.port}", person, KEY)

    def start(self) -> None:
        arguments = [self.address.model_dump_json(), self.settings.model_dump_json(), str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments], env=os.environ | self.environment
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("the server does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None


def main() -> None:
    address, settings, port = sys.argv[1:]
    storage = open_queue_storage(StoreAddress.model_validate(json.loads(address)), QUEUE)
    queue = ReviewQueue(storage, name=QUEUE, settings=ReviewSettings.model_validate(json.loads(settings)))
    serve(ReviewPage(queue, Wording(title=QUEUE), KEY).app(), bind("127.0.0.1", int(port)))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
