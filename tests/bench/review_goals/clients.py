"""Reviewers' browsers: they hold a card and the next one, and send a request again until it is answered."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from learntoask.review.records import Answer

_ITEM = re.compile(r'data-item="([0-9a-f]{64})"')
_FORM = re.compile(r'name="form" value="([^"]+)"')
_REPEATED = 0.03  # of the answered requests are sent again, as after a lost response
_UNDONE = 0.02  # of the answers are taken back and given again
_IDLE_SECONDS = 0.5


class Client:
    """A reviewer in a thread. `given` are the acknowledged answers by item, `sent` the ids of all requests."""

    def __init__(self, name: str, link: str, right: Callable[[str], Answer], *, seed: int) -> None:
        self.name, self._link, self._right = name, urlsplit(link), right
        self._draw = random.Random(f"{name} {seed}")
        self._connection: http.client.HTTPConnection | None = None
        self._cookie = self._form = ""
        self.given: dict[str, Answer] = {}
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.seconds: list[float] = []  # of answered requests
        self.error: BaseException | None = None
        self.done = threading.Event()  # set by the run once nothing is missing
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        try:
            self._enter()
            held: list[str] = []
            while not self.done.is_set():
                if not held:
                    held = self._cards()
                if not held:
                    self.done.wait(_IDLE_SECONDS)
                    continue
                item, *ahead = held
                following = self._answer(item, ahead)
                if self._draw.random() < _UNDONE:
                    self._post("undo", item, ahead)
                    self.given.pop(item, None)
                    self._answer(item, [*ahead, *following])
                held = [*ahead, *following]
        except BaseException as error:
            self.error = error

    def _enter(self) -> None:
        response, _ = self._request("GET", f"{self._link.path}?{self._link.query}")
        self._cookie = str(response.getheader("set-cookie")).partition(";")[0]

    def _cards(self) -> list[str]:
        _, page = self._request("GET", "/")
        form = _FORM.search(page)
        self._form = form[1] if form else ""
        return list(dict.fromkeys(_ITEM.findall(page)))

    def _answer(self, item: str, ahead: list[str]) -> list[str]:
        answer = self._right(item)
        found = self._post("answer", item, ahead, answer=answer[0], seconds="4.0", revealed="0")
        if not found.get("gone"):
            self.given[item] = answer
        return [each for each in _ITEM.findall(str(found.get("next", ""))) if each not in ahead][:1]

    def _post(self, action: str, item: str, ahead: list[str], **fields: str) -> dict[str, Any]:
        """Send a form with an id until it is answered, and sometimes once more. Return the first answer."""
        id = f"{self._draw.getrandbits(96):024x}"
        self.sent.add(id)
        form = {"form": self._form, "item": item, "client": id, "ahead": ahead, **fields}
        body = urlencode(form, doseq=True)
        _, text = self._request("POST", f"/{action}", body)
        self.acknowledged.add(id)
        if self._draw.random() < _REPEATED:
            self._request("POST", f"/{action}", body)
        found: dict[str, Any] = json.loads(text)
        return found

    def _request(
        self, method: str, path: str, body: str | None = None
    ) -> tuple[http.client.HTTPResponse, str]:
        headers = {"Cookie": self._cookie}
        if method == "POST":
            headers |= {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        while True:
            start = time.monotonic()
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(str(self._link.netloc), timeout=60)
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                text = response.read().decode()
            except (OSError, http.client.HTTPException):  # the server was killed
                self._connection = None
                time.sleep(0.1 + 0.2 * self._draw.random())
                continue
            if response.status >= 500:
                time.sleep(0.5)
                continue
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {response.status} {text[:300]}")
            if method == "POST":
                self.seconds.append(time.monotonic() - start)
            return response, text
