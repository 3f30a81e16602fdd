"""An `lta run` that is interrupted, terminated or killed: its message, its exit code, and `lta status` afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from learntoask.runner.run_folder import RunFolder

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "pharmacy"
RUN = f"""
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {{name: stopped}}
spec:
  dataset: {{uri: {EXAMPLE / "logs.jsonl"}, maxSessions: 60}}
  pack: {{uri: {EXAMPLE / "pack.yaml"}}}
  train: {{base: {{uri: "tiny:"}}}}
"""
LTA = [sys.executable, "-m", "learntoask.cli.app"]
# Tests that run in the background of a shell ignore SIGINT, and so would the processes that they start.
RUN_LTA = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from learntoask.cli.app import main
main()
"""


def started(folder: Path) -> subprocess.Popen[str]:
    """An `lta run` whose first stage, `fetch`, is running."""
    running = subprocess.Popen(
        [sys.executable, "-c", RUN_LTA, "run", "run.yaml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run = RunFolder(folder / ".lta", "stopped")
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and running.poll() is None:
        state = run.read()
        if state and "fetch" in state.stages:
            return running
        time.sleep(0.05)
    running.kill()
    raise AssertionError(f"fetch did not start: {running.communicate()[0]}")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_stopped_run_leaves_no_stage_running_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "run.yaml").write_text(RUN)
    running = started(tmp_path)
    running.send_signal(number)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == code, output
    if number != signal.SIGKILL:
        assert "Nothing is lost" in output
        assert "lta run run.yaml" in output
    status = subprocess.run(
        [*LTA, "status", "stopped", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found = json.loads(status.stdout)
    assert found["outcome"] == "Stopped"
    assert {stage["state"] for stage in found["stages"]} == {"Pending"}
    assert {stage["seconds"] for stage in found["stages"]} == {None}
