"""`make review-demo` runs up to a report that people have corrected, and opens the page for practice on a terminal."""

from __future__ import annotations

import http.cookiejar
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "pharmacy"
PATIENCE = 1200


def smaller(folder: Path) -> Path:
    """The manifest of the demo, with fewer sessions and questions and without training."""
    document = yaml.safe_load((EXAMPLE / "review.yaml").read_text(encoding="utf-8"))
    spec = document["spec"]
    for part in ("dataset", "pack"):
        spec[part]["uri"] = str(EXAMPLE / spec[part]["uri"])
    spec["dataset"]["maxSessions"] = 140
    spec["calibrate"] = {"budget": 120}
    spec["train"]["sft"] = {"epochs": 0}
    path = folder / "review.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


class Terminal:
    """A terminal in which a program runs, with all that it has shown."""

    def __init__(self, command: list[str], *, folder: Path, **settings: str) -> None:
        self._changed = threading.Condition()
        self._shown = b""
        self._ended = False
        mine, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        threading.Thread(target=self._read, args=(mine,), daemon=True).start()

    @property
    def shown(self) -> str:
        return self._shown.decode(errors="replace")

    def _read(self, terminal: int) -> None:
        while True:
            try:
                read = os.read(terminal, 65536)
            except OSError:  # Linux says so when all programs in the terminal have ended
                read = b""
            with self._changed:
                self._shown += read
                self._ended = not read
                self._changed.notify_all()
            if not read:
                os.close(terminal)
                return

    def until(self, pattern: str) -> re.Match[str]:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or re.search(pattern, self.shown), timeout=PATIENCE)
        found = re.search(pattern, self.shown)
        assert found, self.shown
        return found


@pytest.mark.timeout(1500)
def test_the_demo_ends_with_a_corrected_report_and_the_page(tmp_path: Path) -> None:
    terminal = Terminal(
        ["bash", str(EXAMPLE / "review_demo.sh"), str(smaller(tmp_path))],
        folder=tmp_path,
        LTA=str(Path(sys.executable).with_name("lta")),
        LTA_HOME=str(tmp_path / "home"),
        OMP_NUM_THREADS="1",
        COLUMNS="200",
        BROWSER="true",  # in place of a browser, the program that does nothing
    )
    try:
        terminal.until(r"two simulated people do")
        given, needed = terminal.until(r"ada and ben gave \d+ answers.*; (\d+) of (\d+) are there").groups()
        assert given == needed
        report = tmp_path / terminal.until(r"Report: (?:\x1b\[\d+m)?([^\s\x1b]+report)\.html").group(1)
        figures = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))
        link = terminal.until(r"http://127\.0\.0\.1:\d+/enter\?link=\S+").group()
        opened = build_opener(HTTPCookieProcessor(http.cookiejar.CookieJar())).open(link, timeout=60)
        assert 'class="keys"' in opened.read().decode()  # a question with its choices
        terminal.process.send_signal(signal.SIGINT)  # Ctrl-C
        assert terminal.process.wait(60) == 0
    finally:
        if terminal.process.poll() is None:
            terminal.process.terminate()
            terminal.process.wait()
    assert "agreement with people" in terminal.shown
    assert figures["calibration"]["gate"]["verdict"] == "passed"
    assert figures["calibration"]["answers"]["given"] >= int(needed)
    assert figures["policies"][-1]["corrected"]["WA-GH"]["n"] > 0
