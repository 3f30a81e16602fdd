"""The page as a process: it says where it is, and ends on SIGTERM after the requests that run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from learntoask.core.errors import InputError
from learntoask.review.page.server import bind
from worlds.review import RunningPage, client_of, fields, folder_queue, post, yes_or_no

_SERVER = """
import sys, time
from pathlib import Path
from learntoask.review.page.server import bind, serve
from learntoask.review.page.app import ReviewPage
from worlds.review import KEY, WORDING, folder_queue
queue = folder_queue(Path(sys.argv[1]), [])
answer = queue.answer
def slow(*arguments, **named):
    print("answering", flush=True)
    time.sleep(1)
    return answer(*arguments, **named)
queue.answer = slow
serve(ReviewPage(queue, WORDING, KEY).app(), bind("127.0.0.1", 0), ready=lambda address: print(address, flush=True))
print("ended", flush=True)
"""


@contextmanager
def _server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    paths = [str(path) for path in (Path(__file__).parents[2], Path(__file__).parents[3] / "services")]
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_request_that_runs_is_finished_after_sigterm(tmp_path) -> None:
    item = yes_or_no(1)
    queue = folder_queue(tmp_path, [item])
    with _server(tmp_path) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        with client_of(RunningPage(address, queue, b"0123456789abcdef0123456789abcdef")) as client:
            form = fields(client.get("/").text)
            found: list[httpx2.Response] = []
            sending = threading.Thread(
                target=lambda: found.append(post(client, "answer", **form, answer="yes"))
            )
            sending.start()
            assert process.stdout
            assert process.stdout.readline() == "answering\n"
            process.send_signal(signal.SIGTERM)
            sending.join(60)
        assert found[0].status_code == 200
        assert process.stdout.readline() == "ended\n"
        assert process.wait(60) == 0
        assert process.stderr
        assert process.stderr.read() == ""  # no log line holds a link
    assert queue.given(item.digest, "ann").answer == ("yes",)


def test_a_port_that_is_taken_is_named(tmp_path) -> None:
    with (
        bind("127.0.0.1", 0) as taken,
        pytest.raises(InputError, match=r"127\.0\.0\.1:\d+: Address already in use"),
    ):
        bind("127.0.0.1", taken.getsockname()[1])
