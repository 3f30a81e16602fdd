"""Processor time of commands that need no run, beside that of Python itself.

    python tests/bench/bench_start.py [--rounds 5] [--check]

Each figure is the least of all rounds, user and system time of the process in seconds. `--check` fails where a command
takes more than .5 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

LIMIT = 0.5
LTA = (sys.executable, "-m", "learntoask.cli.app")
COMMANDS = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "lta --help": (*LTA, "--help"),
    "lta apply nofile.yaml": (*LTA, "apply", "nofile.yaml"),
    "lta status (no runs)": (*LTA, "status"),
}


def processor_seconds(command: tuple[str, ...], folder: str) -> float:
    """User and system time of `command`, run in `folder`."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LTA_HOME": folder},
    )
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        least = {
            name: min(processor_seconds(command, folder) for _ in range(options.rounds))
            for name, command in COMMANDS.items()
        }
    for name, seconds in least.items():
        print(f"{name:24} {seconds:6.2f} s")
    slow = [name for name, seconds in least.items() if seconds > LIMIT]
    if options.check and slow:
        print(f"more than {LIMIT} s: {', '.join(slow)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
