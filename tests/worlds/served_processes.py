"""A gateway and a policy server with a scripted engine as separate processes, each with its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SERVER = """
import os
from pathlib import Path
from worlds.serving import ScriptedEngine, policy_server
from learntoask.rpc.process import run

async def make():
    files = {name: Path(os.environ[name]) for name in ("tls_certificate", "tls_key") if name in os.environ}
    return policy_server(ScriptedEngine(), port=int(os.environ["PORT"]), **files)

run(make, name="learntoask-policy-server", log_level="INFO", ready=lambda address: print(address, flush=True))
"""
GATEWAY = """
import os
from learntoask.serving.gateway.config import read_config
from learntoask.serving.gateway.process import run_gateway

run_gateway(read_config(os.environ, {}), ready=lambda address: print(address, flush=True))
"""


class ServedProcess:
    """A running process; `address` is where it serves."""

    def __init__(self, program: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address, self.ended()

    def ended(self) -> str:
        """End it as Kubernetes does, and return what it has logged. It must end well and in time."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        self._reader.join(10)
        return "".join(self._lines)

    def has_logged(self, words: str) -> bool:
        return any(words in line for line in self._lines)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ended().splitlines() if line.startswith("{")]

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(30)

    def _read(self) -> None:
        assert self._process.stderr is not None
        self._lines.extend(self._process.stderr)


@contextmanager
def process(program: str, **environment: str) -> Iterator[ServedProcess]:
    started = ServedProcess(program, **environment)
    try:
        yield started
    finally:
        started.kill()
