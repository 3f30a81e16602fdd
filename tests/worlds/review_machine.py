"""A state machine of a review: two servers share a storage, are killed at writes, and clients repeat their requests."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from learntoask.core.errors import InputError
from learntoask.review.queue import ReviewQueue
from learntoask.review.records import Event

from worlds.review_items import Clock, item, open_queue, votes

ITEMS = [
    item(1, split="anchor"),
    item(2, why="disagreement", votes=votes("yes", "no")),
    item(3, why="known", expected=("yes",)),
]
REVIEWERS = ("ann", "bob", "Zoë Q")
MOMENTS = st.sampled_from([None, None, None, "before", "within", "after"])
SERVERS, ANSWERS = st.sampled_from([0, 1]), st.sampled_from([("yes",), ("no",), ("?",)])
PEOPLE, WHICH = st.sampled_from(REVIEWERS), st.sampled_from(range(len(ITEMS)))


class Killed(BaseException):
    """The server was killed at a write."""


@dataclass
class Request:
    """A request of a client, which it repeats until a server acknowledges it."""

    kind: str
    item: str
    reviewer: str
    id: str
    answer: tuple[str, ...] = ()
    acknowledged: bool = False
    refused: bool = False


class ReviewMachine(RuleBasedStateMachine):
    """A subclass says what the storage is in `new_storage`, whose attribute `kill` is the moment of the next death."""

    def new_storage(self) -> Any:
        raise NotImplementedError

    def begin(self) -> None:
        self.clock = Clock()
        self.numbers = itertools.count()
        self.requests: list[Request] = []
        self.storages: list[Any] = [None, None]
        self.servers: list[ReviewQueue] = []
        self.retired: set[str] = set()
        for number in (0, 1):
            self.servers.append(self.start_server(number))
        self.servers[0].add(ITEMS[:2])

    def start_server(self, number: int) -> ReviewQueue:
        self.storages[number] = self.new_storage()
        return open_queue(self.storages[number], clock=self.clock, double_share=1.0)

    def call(self, server: int, moment: str | None, call: Any) -> bool:
        """Call a server, which may die at its next write and is then started again. Return whether it answered."""
        self.storages[server].kill = moment
        try:
            call(self.servers[server])
        except Killed:
            self.servers[server] = self.start_server(server)
            return False
        self.storages[server].kill = None
        return True

    def send(self, server: int, moment: str | None, request: Request) -> None:
        def call(queue: ReviewQueue) -> None:
            at: dict[str, Any] = {"digest": request.item, "reviewer": request.reviewer, "id": request.id}
            try:
                if request.kind == "answered":
                    queue.answer(**at, answer=request.answer, seconds=3.0)
                elif request.kind == "undone":
                    queue.undo(**at)
                elif request.kind == "skipped":
                    queue.skip(**at)
                else:
                    queue.comment(**at, comment="a comment")
            except InputError as error:
                if error.reason not in ("NothingToUndo", "UnknownItem", "ItemRetired"):
                    raise
                request.refused = True

        if self.call(server, moment, call):
            request.acknowledged = True

    @rule(
        server=SERVERS,
        moment=MOMENTS,
        kind=st.sampled_from(["answered", "answered", "undone", "skipped", "commented"]),
        which=WHICH,
        reviewer=PEOPLE,
        answer=ANSWERS,
    )
    def act(self, server: int, moment: str | None, kind: str, which: int, reviewer: str, answer: Any) -> None:
        request = Request(kind, ITEMS[which].digest, reviewer, f"click-{next(self.numbers)}", answer)
        self.requests.append(request)
        self.send(server, moment, request)

    @rule(server=SERVERS, data=st.data())
    def repeat_a_request(self, server: int, data: st.DataObject) -> None:
        if self.requests:
            self.send(server, None, data.draw(st.sampled_from(self.requests)))

    @rule(server=SERVERS, moment=MOMENTS, reviewer=PEOPLE, adjudicates=st.booleans())
    def ask_for_the_next_item(
        self, server: int, moment: str | None, reviewer: str, adjudicates: bool
    ) -> None:
        def call(queue: ReviewQueue) -> None:
            digest = queue.next_item(reviewer, adjudicates=adjudicates)
            if digest is not None:
                assert digest not in self.retired
                assert queue.given(digest, reviewer).answer is None

        self.call(server, moment, call)

    @rule(server=SERVERS, moment=MOMENTS)
    def add_an_item(self, server: int, moment: str | None) -> None:
        self.call(server, moment, lambda queue: queue.add(ITEMS))

    @rule(server=SERVERS, moment=MOMENTS)
    def retire_an_item(self, server: int, moment: str | None) -> None:
        if self.call(server, moment, lambda queue: queue.retire([ITEMS[1].digest], reason="withdrawn")):
            self.retired.add(ITEMS[1].digest)

    @rule(server=SERVERS)
    def kill(self, server: int) -> None:
        self.servers[server] = self.start_server(server)

    @rule(seconds=st.sampled_from([1.0, 200.0, -5000.0]))
    def the_clock_goes_on_or_is_set_back(self, seconds: float) -> None:
        self.clock.now += seconds

    def stored_events(self) -> list[Event]:
        return list(self.new_storage().changes(complete=True).events)

    @invariant()
    def what_was_acknowledged_is_there_once_and_nothing_twice(self) -> None:
        if not getattr(self, "servers", None):
            return
        found = self.stored_events()
        assert len({(event.item, event.reviewer, event.n) for event in found}) == len(found)
        for pair in {(event.item, event.reviewer) for event in found}:
            of_pair = sorted(
                (event for event in found if (event.item, event.reviewer) == pair), key=lambda e: e.n
            )
            assert [event.n for event in of_pair] == list(range(len(of_pair)))
            assert [event.time for event in of_pair] == sorted(event.time for event in of_pair)
        ids = Counter(event.id for event in found if event.id)
        assert all(count == 1 for count in ids.values())
        known = {request.id: request for request in self.requests}
        for event in found:
            if event.id:
                assert (event.kind, event.item) == (known[event.id].kind, known[event.id].item)
        for request in self.requests:
            # An answer that stands already needs no event.
            if request.acknowledged and not request.refused and request.kind != "answered":
                assert ids[request.id] == 1

    @invariant()
    def all_servers_agree_after_they_have_read_what_is_stored(self) -> None:
        if not getattr(self, "servers", None):
            return
        fresh = open_queue(self.new_storage(), clock=self.clock, double_share=1.0)
        expected, status = fresh.freeze(), fresh.status()
        for queue in self.servers:
            assert queue.freeze() == expected
            assert queue.status() == status
        assert status.given <= status.needed
