"""A headless Chromium for tests, tools and benchmarks: the one that is installed, since none is ever downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (e) => violations.push(`${e.violatedDirective} ${e.blockedURI}`));
"""


def chromium() -> str | None:
    """Return the path of the installed browser, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the installed browser. Raises FileNotFoundError without one."""
    executable = chromium()
    if executable is None:
        raise FileNotFoundError(f"install one of {', '.join(_NAMES)} (`make browser`)")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A tab in a browser profile of its own, with what went wrong in it."""

    page: Page
    context: BrowserContext
    errors: list[str] = field(default_factory=list)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def problems(self) -> list[str]:
        """Return errors of the script and violations of the content security policy."""
        if self.page.is_closed():
            return self.errors
        return [*self.errors, *self.page.evaluate("window.violations || []")]


def visit(
    browser: Browser,
    address: str,
    *,
    width: int = 1280,
    height: int = 800,
    dark: bool = False,
    script: bool = True,
    touch: bool = False,
) -> Visit:
    """Open `address` in a new profile."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
        has_touch=touch,
        is_mobile=touch,
    )
    if script:
        context.add_init_script(_WATCH)
    return open_tab(context, address)


def open_tab(context: BrowserContext, address: str) -> Visit:
    """Open `address` in another tab of a profile."""
    context.set_default_timeout(120_000)  # milliseconds; a busy machine takes many times as long
    found = Visit(context.new_page(), context)

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            found.errors.append(message.text)

    found.page.on("console", note)
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.goto(address)
    return found
