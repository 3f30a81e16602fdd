"""Photograph the head of a report for the README: `python tools/report_picture.py REPORT.html PICTURE.png`.

Needs Chromium or Chrome. `make report-picture` photographs the report of `make run`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WIDTH, _HEIGHT = 1120, 900  # CSS pixels: headline figures and the first charts
_LARGEST = 300_000  # bytes


def main() -> int:
    page, picture = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise SystemExit(f"install one of {', '.join(_BROWSERS)}")
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
        command += [f"--user-data-dir={profile}", f"--window-size={_WIDTH},{_HEIGHT}"]
        command += [f"--screenshot={picture}", page.as_uri()]
        subprocess.run(command, check=True, timeout=120, stderr=subprocess.DEVNULL)
    size = picture.stat().st_size
    if size > _LARGEST:
        raise SystemExit(f"{picture} has {size:,} bytes, more than {_LARGEST:,}: photograph less of the page")
    return 0


if __name__ == "__main__":
    sys.exit(main())
