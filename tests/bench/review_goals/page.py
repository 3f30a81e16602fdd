"""Goal 7: an item takes few keys and one request, the next card is there at once, and no barrier is left.

A simulated person answers in Chromium by keyboard. Half of the questions have two choices and half take several; in
half of them the machine says something else, so that its votes stay on the screen until Enter.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from calibration_goals.rows import Row
from learntoask.review.choice_order import ordered_choices
from learntoask.review.records import ReviewItem
from worlds.browser import Visit, chromium, open_browser, visit
from worlds.review import folder_queue, question, running_page, yes_or_no

from review_goals.options import Options

_ITEMS = 120
_WATCH = """
window.took = [];
let pressed = 0, shown = document.querySelector('.card').dataset.item;
addEventListener('keydown', () => { pressed = performance.now(); }, true);
new MutationObserver(() => {
  const card = document.querySelector('#stage .card');
  if (!card || card.dataset.item === shown) return;
  shown = card.dataset.item;
  const start = pressed;
  requestAnimationFrame(() => {  // a message that is sent here arrives after the frame is painted
    const painted = new MessageChannel();
    painted.port1.onmessage = () => took.push(performance.now() - start);
    painted.port2.postMessage(0);
  });
}).observe(document.getElementById('stage'), { childList: true });
"""


def run(options: Options) -> list[Row]:
    """Return the rows of the page in a browser; without one, a row that says so and is not held."""
    if chromium() is None:
        return [Row(goal=7, data="page", what="Chromium", reached="not installed", held=False)]
    items = [_item(number) for number in range(_ITEMS // (10 if options.quick else 1))]
    with (
        tempfile.TemporaryDirectory() as folder,
        open_browser() as browser,
        running_page(folder_queue(Path(folder), items)) as running,
    ):
        return _measure(visit(browser, running.link()), {item.digest: item for item in items})


def _item(number: int) -> ReviewItem:
    if number % 2:
        return yes_or_no(number, votes=(("lexicon", ("yes",) if number % 4 == 1 else ("no",), "a reason"),))
    field = "other_medicines" if number % 4 == 0 else "age"
    return question(number, votes=(("lexicon", (field,), "a reason"), ("model-free", (field,), "another")))


def _measure(tab: Visit, items: dict[str, ReviewItem]) -> list[Row]:
    tab.page.evaluate(_WATCH)
    requests: list[str] = []
    # The heartbeat, which keeps leases every 30 seconds, belongs to no item.
    tab.page.on("request", lambda request: request.url.endswith("/alive") or requests.append(request.url))
    keys: list[int] = []
    barriers: set[str] = set()
    took: list[float] = []
    for done in range(len(items)):
        digest = tab.page.locator("#stage .card").get_attribute("data-item")
        assert digest is not None
        took = tab.page.evaluate("window.took")  # after the last answer the page is loaded again
        before = len(requests)
        keys.append(_answer(tab, items[digest], barriers, look=done < 4))
        tab.page.locator(f"#stage .card:not([data-item='{digest}']), .done").first.wait_for()
        assert len(requests) - before <= 1 or done == len(items) - 1, requests[before:]
    answers = sum(1 for url in requests if url.endswith("/answer"))
    return rows(keys, answers / len(items), took, barriers)


def _answer(tab: Visit, item: ReviewItem, barriers: set[str], *, look: bool) -> int:
    """Answer the card on the screen, and return how many keys that took."""
    if look:
        barriers |= _barriers(tab)
    if item.several:
        order = [choice.key for choice in ordered_choices(item, "ann")]
        pressed = [str(order.index("other_medicines") + 1), "Enter"]
    else:
        pressed = ["y"]
    tab.press(*pressed[:-1])
    with tab.page.expect_response("**/answer"):
        tab.press(pressed[-1])
    right = ("other_medicines",) if item.several else ("yes",)
    if all(vote.answer == right for vote in item.votes):
        return len(pressed)
    tab.page.locator(".revealed").wait_for()
    if look:
        barriers |= _barriers(tab)
    tab.press("Enter")
    return len(pressed) + 1


def _barriers(tab: Visit) -> set[str]:
    return {found["id"] for found in Axe().run(tab.page).response["violations"]}


def rows(keys: list[int], requests: float, took: list[float], barriers: set[str]) -> list[Row]:
    p95 = statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
    return [
        Row(
            goal=7,
            data="page",
            what=f"keys for an item, {len(keys)} items",
            reached=f"{statistics.mean(keys):.2f} on average, {max(keys)} at most",
            required="≤ 3",
            held=max(keys) <= 3,
        ),
        Row(
            goal=7,
            data="page",
            what="requests for an item",
            reached=f"{requests:.2f}",
            required="1",
            held=requests == 1,
        ),
        Row(
            goal=7,
            data="page",
            what="from the key to the next card on the screen",
            reached=f"p50 {statistics.median(took):.0f} ms, p95 {p95:.0f} ms",
            required="p95 ≤ 100 ms",
            held=p95 <= 100,
        ),
        Row(
            goal=7,
            data="page",
            what="axe-core: violations in questions and votes",
            reached=", ".join(sorted(barriers)) or "0",
            required="0",
            held=not barriers,
        ),
    ]
