"""docs/reference.md agrees with the models of the manifest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_manifest_reference_is_current() -> None:
    completed = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate_reference.py"), "--check"], check=False, timeout=60
    )
    assert completed.returncode == 0, "run `make docs`"
