"""Photograph the review page for docs/calibration.md: `PYTHONPATH=tests python tools/review_pictures.py FOLDER`.

`make review-pictures` writes them to docs/images. Needs Chromium (`make browser`). The questions are about a made-up
conversation in a pharmacy.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from learntoask.review.page.access import Role
from playwright.sync_api import Browser
from worlds.browser import Visit, open_browser, visit
from worlds.review import FIELDS, RunningPage, folder_queue, question, running_page, yes_or_no

_LARGEST = 120_000  # bytes
_DONE = 37  # answers that were given before the pictures
_ACT = "What should the pharmacist do next: act, or ask the patient something first?"
_VOTES = (
    ("labeller", ("other_medicines",), "“any other medicines” is a pattern of other_medicines"),
    ("rewarding", ("allergies",), "closest to the examples of allergies (0.61 against 0.58)"),
)
_ACTS = (("yes", "Act", "nothing is missing"), ("no", "Ask first", "something is missing"))


def photograph(running: RunningPage, acting: RunningPage, browser: Browser, folder: Path) -> list[Path]:
    """Write the pictures and return their paths. `acting` asks whether it is time to act."""
    wide = visit(browser, running.link(), width=900, height=760)
    found = [_save(wide, folder / "review-question.png")]
    wide.press("1", "Enter")
    wide.page.locator(".revealed").wait_for()
    found.append(_save(wide, folder / "review-votes.png"))
    narrow = visit(browser, running.link("bea"), width=360, height=720, dark=True)
    found.append(_save(narrow, folder / "review-phone.png"))
    act = visit(browser, acting.link(), width=900, height=520)
    found.append(_save(act, folder / "review-act.png"))
    overview = visit(browser, running.link("vic", Role.VIEWER), width=900, height=620)
    found.append(_save(overview, folder / "review-overview.png"))
    return found


def _save(tab: Visit, path: Path) -> Path:
    tab.page.evaluate("document.fonts.ready")
    tab.page.screenshot(path=path, animations="disabled", caret="hide")
    size = path.stat().st_size
    if size > _LARGEST:
        raise SystemExit(f"{path} has {size:,} bytes, more than {_LARGEST:,}: photograph less of the page")
    return path


def main() -> int:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    given = [yes_or_no(number) for number in range(100, 100 + _DONE)]
    fields = tuple((key, key.replace("_", " "), text) for key, text in FIELDS.items())
    items = [question(number, choices=fields, votes=_VOTES) for number in range(120 - _DONE)]
    act = yes_or_no(0, text=_ACT, choices=_ACTS)
    decides = "120 answers decide whether the grader may be trusted with a GPU."
    with tempfile.TemporaryDirectory() as name:
        queue = folder_queue(Path(name, "many"), [*given, *items], decides=decides)
        one = folder_queue(Path(name, "one"), [act], decides=decides)
        for number, item in enumerate(given):
            who, answer = (("ann", "yes"), ("bea", "no"))[number % 3 == 0]
            queue.answer(item.digest, who, (answer,), seconds=5.0 + number % 7)
        with running_page(queue) as running, running_page(one) as acting, open_browser() as browser:
            for path in photograph(running, acting, browser, folder):
                print(path, f"{path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
