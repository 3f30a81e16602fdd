"""Two tabs, a lost network, a server that dies, a store that is away, a question that is retired meanwhile."""

from __future__ import annotations

import threading

from learntoask.core.errors import StoreError
from worlds.browser import open_tab
from worlds.review import folder_queue, running_page, yes_or_no


def test_an_answer_of_another_tab_stands_and_the_person_is_told(serve, open_page) -> None:
    item = yes_or_no(1)
    running = serve(item)
    one = open_page(running.link())
    two = open_tab(one.context, running.address)
    one.press("y")
    one.page.get_by_text("All answers are in").wait_for()
    two.press("n")
    two.page.get_by_text("You had answered this in another tab").wait_for()
    assert running.queue.given(item.digest, "ann").answer == ("yes",)
    with two.page.expect_response("**/answer"):
        two.press("n")
    given = running.queue.given(item.digest, "ann")
    assert (given.blind, given.answer) == (("yes",), ("no",))


def test_answers_without_a_network_wait_and_are_sent_in_order(serve, open_page) -> None:
    items = [yes_or_no(n) for n in range(4)]
    running = serve(*items)
    tab = open_page(running.link())
    order = [tab.page.locator(".card").get_attribute("data-item")]
    tab.context.set_offline(True)
    tab.press("n")
    tab.page.get_by_text("1 answer waits in this browser").wait_for()
    tab.page.locator(f".card:not([data-item='{order[0]}'])").wait_for()
    order.append(tab.page.locator(".card").get_attribute("data-item"))
    tab.press("y")
    tab.page.get_by_text("2 answers wait in this browser").wait_for()
    assert running.queue.responses() == []
    tab.context.set_offline(False)
    tab.page.locator("#network[hidden]").wait_for(state="attached")
    assert [running.queue.given(digest, "ann").answer for digest in order] == [("no",), ("yes",)]
    tab.page.get_by_text("2 of 4 questions").wait_for()


def test_answers_that_wait_survive_a_closed_tab(serve, open_page) -> None:
    item = yes_or_no(1)
    running = serve(item, yes_or_no(2))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.context.set_offline(True)
    tab.press("y")
    tab.page.get_by_text("1 answer waits").wait_for()
    tab.page.close()
    tab.context.set_offline(False)
    again = open_tab(tab.context, running.address)
    again.page.get_by_text("1 of 2 questions").wait_for()
    assert running.queue.given(first, "ann").answer == ("yes",)


def test_an_undo_without_a_network_is_sent_after_the_answer(serve, open_page) -> None:
    running = serve(yes_or_no(1), yes_or_no(2), yes_or_no(3))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.context.set_offline(True)
    tab.press("y")
    tab.page.locator(f".card:not([data-item='{first}'])").wait_for()
    tab.press("u")
    tab.page.locator(f".card[data-item='{first}']").wait_for()
    tab.context.set_offline(False)
    tab.page.locator("#network[hidden]").wait_for(state="attached")
    given = running.queue.given(first, "ann")
    assert given.answer is None
    assert len(given.ids) == 2


def test_a_server_that_dies_after_the_write_does_not_record_the_answer_twice(
    serve, open_page, tmp_path
) -> None:
    item = yes_or_no(1)
    queue = folder_queue(tmp_path / "shared", [item, yes_or_no(2)])
    with running_page(queue) as running:
        tab = open_page(running.link())
        first = tab.page.locator(".card").get_attribute("data-item")
        cut = threading.Event()

        def lose(route) -> None:
            if cut.is_set():
                route.continue_()
            else:
                cut.set()
                route.fetch()  # the server records the answer, and its response is lost
                route.abort()

        tab.context.route("**/answer", lose)
        tab.press("n")
        tab.page.get_by_text("1 answer waits").wait_for()
        given = queue.given(first, "ann")
        port = int(running.address.rsplit(":", 1)[1])
    with running_page(folder_queue(tmp_path / "shared", []), port=port) as running:
        tab.page.locator("#network[hidden]").wait_for(state="attached")
        assert running.queue.given(first, "ann") == given
        assert given.answer == ("no",)


def test_while_the_store_is_away_the_answer_waits(serve, open_page, monkeypatch) -> None:
    running = serve(yes_or_no(1), yes_or_no(2))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    storage = running.queue._storage
    append = storage.append

    def away(event):
        raise StoreError("away", reason="Unreachable")

    monkeypatch.setattr(storage, "append", away)
    tab.press("y")
    tab.page.get_by_text("The storage is away. 1 answer waits").wait_for()
    monkeypatch.setattr(storage, "append", append)
    tab.page.locator("#network[hidden]").wait_for(state="attached")
    assert running.queue.given(first, "ann").answer == ("yes",)


def test_a_question_that_was_retired_meanwhile_gives_way_to_the_next(serve, open_page) -> None:
    items = [yes_or_no(1), yes_or_no(2)]
    running = serve(*items)
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    running.queue.retire([first], reason="its session left the data")
    tab.press("y")
    tab.page.locator(f".card:not([data-item='{first}'])").wait_for()
    assert "no longer asked" in tab.page.locator("#said").inner_text()
    assert running.queue.given(first, "ann").answer is None


def test_a_link_that_ends_meanwhile_keeps_the_answer_and_says_so(serve, open_page) -> None:
    running = serve(yes_or_no(1), yes_or_no(2))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    cookies = tab.context.cookies()
    tab.context.clear_cookies()
    tab.press("y")
    tab.page.get_by_text("Open the link that you were given").wait_for()
    assert "1 answer waits" in tab.page.locator("#network").inner_text()
    tab.context.add_cookies(cookies)
    tab.page.reload()
    tab.page.get_by_text("1 of 2 questions").wait_for()
    assert running.queue.given(first, "ann").answer == ("yes",)
