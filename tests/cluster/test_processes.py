"""When a process counts as ended, which is when another process can use its port."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from worlds.cluster.processes import start
from worlds.cluster.runs import until

# The state of a busy process shortly after SIGKILL: its first thread has ended, another still holds the port.
_HALF_ENDED = """
import ctypes, platform, socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=time.sleep, args=(60,)).start()
print(server.getsockname()[1], flush=True)
exit_thread = {"x86_64": 60}.get(platform.machine(), 93)
ctypes.CDLL(None).syscall(exit_thread, 0)
"""


def test_a_process_is_alive_until_its_last_thread_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start([sys.executable, "-c", _HALF_ENDED], log=log, outlive=False)
    state = Path(f"/proc/{process.pid}/status")
    until(lambda: "State:\tZ" in state.read_text(), what="the end of the first thread")
    port = int(log.read_text())
    assert process.alive
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))

    process.kill()
    assert not process.alive
    socket.create_server(("127.0.0.1", port)).close()
