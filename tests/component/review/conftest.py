"""A browser for each module, and tabs in which nothing may go wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from learntoask.review.records import ReviewItem
from worlds.review import RunningPage, folder_queue, running_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from worlds.browser import Visit

Serve = Callable[..., RunningPage]
Open = Callable[..., "Visit"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of a module: its driver keeps an event loop, which would disturb asynchronous tests."""
    pytest.importorskip("playwright", reason="playwright is not installed: no tests in a browser")
    from worlds.browser import chromium, open_browser  # noqa: PLC0415 - needs playwright

    if chromium() is None:
        pytest.skip("no Chromium is installed (`make browser`): no tests in a browser")
    with open_browser() as found:
        yield found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve the page of a queue with the given items."""
    with ExitStack() as stack:

        def start(*items: ReviewItem, proxy: Any = None, **settings: object) -> RunningPage:
            queue = folder_queue(Path(tempfile.mkdtemp(dir=tmp_path)), items, **settings)
            return stack.enter_context(running_page(queue, proxy=proxy))

        yield start


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open an address in a new profile. The test fails if a script failed or the security policy was violated."""
    from worlds.browser import visit  # noqa: PLC0415

    found: list[Visit] = []

    def open_one(address: str, **options: Any) -> Visit:
        found.append(visit(browser, address, **options))
        return found[-1]

    yield open_one
    problems = [problem for one in found for problem in one.problems()]
    for one in found:
        one.context.close()
    assert problems == []
