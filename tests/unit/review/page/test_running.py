"""Where a page runs is known while it runs, and not longer."""

from __future__ import annotations

import subprocess
import sys

from learntoask.review.page.running import recorded, running_address

ADDRESS = "http://127.0.0.1:4711"


def test_the_address_is_known_while_the_page_is_served(tmp_path):
    path = tmp_path / "reviews" / "page.address"
    assert running_address(path) is None
    with recorded(path, ADDRESS):
        assert running_address(path) == ADDRESS
    assert running_address(path) is None


def test_a_second_page_leaves_the_record_of_the_first(tmp_path):
    path = tmp_path / "page.address"
    with recorded(path, ADDRESS):
        with recorded(path, "http://127.0.0.1:1"):
            assert running_address(path) == ADDRESS
        assert running_address(path) == ADDRESS


def test_the_record_of_a_process_that_was_killed_is_not_believed(tmp_path):
    path = tmp_path / "page.address"
    script = (
        "import os, pathlib, sys\n"
        "from learntoask.review.page.running import recorded\n"
        f"with recorded(pathlib.Path(sys.argv[1]), {ADDRESS!r}):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert path.read_text().strip() == ADDRESS
    assert running_address(path) is None
