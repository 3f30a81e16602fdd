"""The state of a run between invocations of `lta`: one folder per run, with one JSON file.

.lta/runs/NAME/run.json          manifest path, rerun counters, latest attempt of every stage
.lta/runs/NAME/lock              held by the `lta run` that works on it
.lta/runs/NAME/request.json      the stage that its process computes now
.lta/runs/NAME/logs/             output of the stages' processes
.lta/runs/NAME/work/KEY/         checkpoints and journals of unfinished stages
.lta/runs/NAME/inputs/           published outputs as folders, for the stages that read them
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from learntoask.core.errors import InputError


class Attempt(BaseModel):
    """The latest attempt of a stage; times in seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    key: str
    state: Literal["running", "failed", "published"]
    attempt: int
    started: float
    finished: float | None = None
    reason: str = ""
    message: str = ""
    retryable: bool = True


class RunState(BaseModel):
    """Remembered attempts by stage. Whether a stage is done is decided by the store, not by them."""

    manifest: str
    reruns: dict[str, int] = {}
    stages: dict[str, Attempt] = {}

    def without_running(self) -> RunState:
        """Forget the running attempts. An attempt that was stopped on purpose does not count."""
        ended = {name: attempt for name, attempt in self.stages.items() if attempt.state != "running"}
        return self.model_copy(update={"stages": ended})


class RunFolder:
    """The folder of one run below `home`."""

    def __init__(self, home: Path, name: str) -> None:
        self.path = home / "runs" / name
        self.name = name

    def read(self) -> RunState | None:
        """Return the remembered state; None for a run that never started. Raises InputError when it is damaged."""
        try:
            return RunState.model_validate_json((self.path / "run.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise InputError(
                f"{self.path / 'run.json'} is damaged ({error.error_count()} faults); remove it"
            ) from error

    def write(self, state: RunState) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / "run.json.partial"
        partial.write_text(state.model_dump_json(indent=1))
        partial.replace(self.path / "run.json")

    def log(self, stage: str, attempt: int) -> Path:
        return self.path / "logs" / f"{stage}-{attempt}.log"

    def work(self, key: str) -> Path:
        return self.path / "work" / key[:16]

    def inputs(self, output: str) -> Path:
        return self.path / "inputs" / output[:16]

    @property
    def active(self) -> bool:
        """Whether an `lta run` works on it now."""
        try:
            with (self.path / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the run. Raises InputError when another process holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"run {self.name!r} is already being run by another process; wait for it or stop it first"
                ) from None
            yield
