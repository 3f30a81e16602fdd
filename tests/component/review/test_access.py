"""Who may use the page, and what a stranger or a changed request gets."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from learntoask.review.page.access import Role, TrustedProxy
from learntoask.review.page.security_headers import POLICY
from worlds.review import JSON, RunningPage, client_of, fields, post, question, yes_or_no

ASSETS = Path(__file__).resolve().parents[3] / "services/learntoask/review/page/assets"


def test_a_link_that_was_changed_anywhere_is_refused_with_a_page_that_says_what_to_do(serve) -> None:
    running = serve(question(1))
    link = running.link()
    start = link.index("link=") + 5
    with httpx2.Client() as client:
        for at in range(start, len(link) - 1, 7):
            changed = link[:at] + ("A" if link[at] != "A" else "B") + link[at + 1 :]
            found = client.get(changed)
            assert found.status_code == 403
            assert "was changed" in found.text
            assert "set-cookie" not in found.headers
        assert client.get(link[:-4]).status_code == 403
        assert client.get(f"{running.address}/enter").status_code == 403


def test_without_a_link_nothing_is_shown(serve) -> None:
    running = serve(question(1))
    found = httpx2.get(running.address)
    assert found.status_code == 403
    assert "Open the link that you were given" in found.text
    assert "headache" not in found.text


def test_a_link_to_another_review_or_an_expired_one_is_refused(serve) -> None:
    running = serve(question(1))
    assert "expired" in httpx2.get(running.link(expires=1.0)).text
    other = RunningPage(running.address, running.queue, b"another key of thirty-two bytes!!")
    assert httpx2.get(other.link()).status_code == 403


def test_the_cookie_is_for_this_site_and_not_for_scripts(serve) -> None:
    running = serve(question(1))
    plain = httpx2.get(running.link()).headers["set-cookie"].lower()
    assert "httponly" in plain
    assert "samesite=lax" in plain
    assert "secure" not in plain
    behind_tls = httpx2.get(running.link(), headers={"x-forwarded-proto": "https"})
    assert "secure" in behind_tls.headers["set-cookie"].lower()


@pytest.mark.parametrize("path", ["answer", "undo", "skip", "comment", "alive"])
def test_a_form_of_another_site_or_of_a_viewer_changes_nothing(serve, path: str) -> None:
    item = question(1)
    running = serve(item)
    with client_of(running) as client:
        form = {**fields(client.get("/").text), "answer": "age", "comment": "hm"}
        before = running.queue.given(item.digest, "ann")
        for token in ("", "x" * 43):
            assert post(client, path, **{**form, "form": token}).status_code == 403
        with client_of(running, "bea") as other:
            assert post(other, path, **form).status_code == 403  # the token of somebody else
    with client_of(running, "vic", Role.VIEWER) as viewer:
        assert post(viewer, path, **form).status_code == 403
    assert running.queue.given(item.digest, "ann") == before
    assert running.queue.responses() == []


def test_a_viewer_sees_how_far_the_review_is_and_no_question(serve) -> None:
    item = yes_or_no(1)
    running = serve(item, question(2))
    running.queue.answer(item.digest, "bea", ("yes",), seconds=4)
    with client_of(running, "vic", Role.VIEWER) as client:
        page = client.get("/").text
    assert '1</b> of 2 <span class="what">answers' in page
    assert "bea" in page
    assert "headache" not in page
    assert "<form" not in page


def test_a_reviewer_does_not_get_the_figures_of_others(serve) -> None:
    with client_of(serve(question(1))) as client:
        assert client.get("/overview").status_code == 403


def test_a_proxy_names_its_users_and_only_it_may(serve) -> None:
    proxy = TrustedProxy("X-Auth-User", ("127.0.0.0/8",), {"eve": Role.ADJUDICATOR}, Role.REVIEWER)
    running = serve(question(1), proxy=proxy)
    named = httpx2.get(running.address, headers={"X-Auth-User": "eve"})
    assert named.status_code == 200
    assert "adjudicator" in named.text
    assert httpx2.get(running.address).status_code == 403
    assert httpx2.get(running.address, headers={"X-Auth-User": "../../etc"}).status_code == 403


def test_a_name_from_elsewhere_than_the_proxy_is_refused(serve) -> None:
    proxy = TrustedProxy("X-Auth-User", ("10.1.0.0/16",), default=Role.REVIEWER)
    running = serve(question(1), proxy=proxy)
    found = httpx2.get(running.address, headers={"X-Auth-User": "ann", "X-Forwarded-For": "10.1.2.3"})
    assert found.status_code == 403
    assert "through a proxy" in found.text


def test_a_name_that_is_not_a_reviewer_of_the_queue_is_refused(serve) -> None:
    running = serve(question(1), reviewers=("bea",))
    found = httpx2.get(running.link("ann"), follow_redirects=False)
    with httpx2.Client(base_url=running.address, cookies=found.cookies) as client:
        page = client.get("/")
    assert page.status_code == 403
    assert "not a reviewer" in page.text


def test_every_response_forbids_foreign_scripts_frames_and_caches(serve) -> None:
    with client_of(serve(question(1))) as client:
        for path in ("/", "/guideline?task=pharmacy", "/nothing", "/enter?link=x", "/assets/page.js"):
            headers = client.get(path).headers
            assert headers["content-security-policy"] == POLICY
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            if not path.startswith("/assets"):
                assert headers["cache-control"] == "no-store"


def test_the_page_is_small_and_asks_no_other_origin(serve) -> None:
    with client_of(serve(question(1), question(2))) as client:
        page = client.get("/").text
    assets = sum(path.stat().st_size for path in ASSETS.iterdir())
    assert assets + len(page.encode()) <= 60_000
    assert re.findall(r'(?:src|href|action)="(?:https?:)?//', page) == []
    assert "style=" not in page
    assert not re.search(r"\son\w+=", page)


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"answer": "<b>"}, 400, "is not a choice"),
        ({"answer": ""}, 400, "is not a choice"),
        ({"item": "x"}, 400, "not the digest"),
        ({"item": "0" * 64}, 200, "no longer asked"),
        ({"client": "", "answer": "age"}, 400, "client"),
        ({"say": "these"}, 400, "choose at least one"),
        ({"comment": "x" * 70_000, "answer": "age"}, 400, "larger than"),
    ],
)
def test_a_form_with_a_mistake_is_answered_with_what_is_wrong(
    serve, change: dict, status: int, word: str
) -> None:
    item = question(1)
    running = serve(item)
    with client_of(running) as client:
        found = post(client, "answer", **{**fields(client.get("/").text), **change})
    assert found.status_code == status
    assert word in found.json()["error"]
    assert running.queue.responses() == []


def test_a_body_of_another_type_is_refused(serve) -> None:
    with client_of(serve(question(1))) as client:
        found = client.post("answer", json={"answer": "age"}, headers=JSON)
    assert found.status_code == 400
    assert "urlencoded" in found.json()["error"]


def test_a_question_about_an_unknown_task_has_an_empty_guideline(serve) -> None:
    with client_of(serve(question(1))) as client:
        page = client.get("/guideline", params={"task": "<script>alert(1)</script>"}).text
    assert "<script>alert" not in page
    assert "says nothing about this task" in page


def test_probes_and_unknown_addresses_need_no_link(serve) -> None:
    running = serve(question(1))
    assert httpx2.get(f"{running.address}/healthz").status_code == 200
    assert httpx2.get(f"{running.address}/readyz").text == "ready\n"
    assert httpx2.get(f"{running.address}/wp-admin").status_code == 404
    assert httpx2.get(f"{running.address}/answer").status_code == 404


def test_a_token_signed_for_forms_opens_no_page(serve) -> None:
    running = serve(question(1))
    with client_of(running) as client:
        token = fields(client.get("/").text)["form"]
    forged = re.sub(r"\.[^.]*$", f".{token}", running.link())
    assert httpx2.get(forged).status_code == 403
