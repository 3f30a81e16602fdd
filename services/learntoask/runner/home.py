"""The folder in which `lta` keeps its runs. Imports nothing heavy, so that commands without a run answer at once."""

from __future__ import annotations

import os
from pathlib import Path


def home_folder() -> Path:
    """Return LTA_HOME, or `.lta` below the current folder."""
    return Path(os.environ.get("LTA_HOME") or ".lta").resolve()


def run_names(home: Path) -> list[str]:
    """Return the names of the runs in `home`, sorted."""
    return sorted(path.parent.name for path in home.glob("runs/*/run.json"))
