"""What people do with a queue, and what goes wrong meanwhile."""

from __future__ import annotations

import math
import threading
import time
from itertools import pairwise

import pytest
from learntoask.core.errors import InputError
from learntoask.review.queue import ReviewQueue
from learntoask.review.records import Freeze
from learntoask.review.state import repeated
from learntoask.review.storage.folder import FolderStorage
from worlds.review_items import FIELDS, Clock, Truth, item, open_queue, votes

ONE = item(1, votes=votes("yes"))
PLAIN = item(7, split="anchor")


def reason_of(call) -> str:
    with pytest.raises(InputError) as refused:
        call()
    return refused.value.reason


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path, clock) -> ReviewQueue:
    queue = open_queue(FolderStorage(tmp_path), clock=clock)
    queue.add([ONE, item(2), item(3, several=True, choices=FIELDS)])
    return queue


def another(queue: ReviewQueue, clock: Clock) -> ReviewQueue:
    return open_queue(FolderStorage(queue._storage.folder), clock=clock)


def test_the_first_answer_is_blind_and_the_next_one_was_given_after_the_votes(queue):
    queue.answer(ONE.digest, "ann", ("yes",), seconds=4.0)
    queue.answer(ONE.digest, "ann", ("no",), seconds=2.0)
    given = queue.given(ONE.digest, "ann")
    assert (given.answer, given.blind, given.changed) == (("no",), ("yes",), True)


def test_an_undone_answer_was_given_before_the_votes_all_the_same(queue):
    queue.answer(ONE.digest, "ann", ("yes",), seconds=4.0)
    queue.undo(ONE.digest, "ann")
    queue.answer(ONE.digest, "ann", ("no",), seconds=2.0)
    assert queue.given(ONE.digest, "ann").blind == ("yes",)


def test_a_slip_is_corrected_where_nothing_is_shown_after_the_answer(queue):
    queue.add([PLAIN])
    queue.answer(PLAIN.digest, "ann", ("?",), seconds=1.0)
    queue.undo(PLAIN.digest, "ann")
    queue.answer(PLAIN.digest, "ann", ("no",), seconds=2.0)
    queue.answer(PLAIN.digest, "ann", ("yes",), seconds=2.0)
    given = queue.given(PLAIN.digest, "ann")
    assert (given.answer, given.blind, given.changed) == (("yes",), ("yes",), False)
    acts = item(8, kind="is_stop")
    queue.add([acts])
    queue.answer(acts.digest, "ann", ("yes",), seconds=1.0)  # what the expert did is shown then
    queue.answer(acts.digest, "ann", ("no",), seconds=1.0)
    assert queue.given(acts.digest, "ann").blind == ("yes",)


def test_a_skip_is_taken_back_before_the_answer_that_came_before_it(queue, clock):
    queue.answer(ONE.digest, "ann", ("yes",), seconds=4.0)
    clock.now += 5
    queue.skip(item(2).digest, "ann")
    assert queue.last_done("ann") == item(2).digest
    queue.undo(item(2).digest, "ann")
    assert queue.given(item(2).digest, "ann").skipped is None
    assert queue.next_item("ann") == item(2).digest
    assert queue.last_done("ann") == ONE.digest
    assert queue.given(ONE.digest, "ann").answer == ("yes",)
    assert reason_of(lambda: queue.undo(item(2).digest, "ann")) == "NothingToUndo"


def test_the_status_says_how_many_answers_one_person_alone_cannot_give(tmp_path, clock):
    queue = open_queue(FolderStorage(tmp_path), clock=clock, double_share=1.0)
    queue.add([item(1, split="anchor"), item(2, split="anchor"), item(3)])
    assert (queue.status().missing, queue.status().by_another) == (5, 2)
    queue.answer(item(1, split="anchor").digest, "ann", ("yes",), seconds=4.0)
    assert (queue.status().missing, queue.status().by_another) == (4, 2)
    queue.answer(item(2, split="anchor").digest, "ann", ("yes",), seconds=4.0)
    queue.answer(item(3).digest, "ann", ("yes",), seconds=4.0)
    assert (queue.status().missing, queue.status().by_another) == (2, 2)
    queue.answer(item(1, split="anchor").digest, "ben", ("yes",), seconds=4.0)
    assert (queue.status().missing, queue.status().by_another) == (1, 0)


def test_a_request_that_is_sent_again_is_recorded_once(queue, clock):
    for server in (queue, queue, another(queue, clock)):
        server.answer(ONE.digest, "ann", ("yes",), seconds=4.0, id="click-1")
    assert queue.given(ONE.digest, "ann").next_n == 1
    queue.undo(ONE.digest, "ann", id="undo-1")
    queue.undo(ONE.digest, "ann", id="undo-1")
    assert queue.given(ONE.digest, "ann").answer is None
    late = another(queue, clock).answer(ONE.digest, "ann", ("yes",), seconds=4.0, id="click-1")
    assert late.answer is None, "a late repetition does not bring an undone answer back"


def test_an_answer_in_a_second_tab_changes_the_first(queue, clock):
    other_tab = another(queue, clock)
    queue.answer(ONE.digest, "ann", ("yes",), seconds=4.0, id="tab-1")
    other_tab.answer(ONE.digest, "ann", ("no",), seconds=4.0, id="tab-2")
    given = queue.given(ONE.digest, "ann")
    assert (given.answer, given.blind) == (("no",), ("yes",))
    assert queue.progress("ann").answered == 1


def test_two_servers_that_do_not_know_of_each_other_keep_both_reviewers_answers(queue, clock):
    other = another(queue, clock)
    queue.answer(ONE.digest, "ann", ("yes",), seconds=4.0)
    other.answer(ONE.digest, "bob", ("no",), seconds=4.0)
    assert [answer.reviewer for answer in queue.freeze().answers] == ["ann", "bob"]
    assert queue.freeze() == other.freeze()
    status = queue.status()
    assert (status.given, status.surplus) == (1, 1)
    assert status.between_people.items == 1


def test_an_item_that_one_server_has_leased_is_not_given_out_by_the_other(tmp_path, clock):
    queue = open_queue(FolderStorage(tmp_path), clock=clock)
    queue.add([ONE])
    other = open_queue(FolderStorage(tmp_path), clock=clock)
    assert queue.next_item("ann") == ONE.digest
    assert other.next_item("bob") is None
    assert other.next_item("ann") == ONE.digest
    clock.now += 130
    assert other.next_item("bob") == ONE.digest


def test_a_heartbeat_keeps_a_lease_without_an_event_each_time(queue, clock):
    digest = queue.next_item("ann")
    for _ in range(30):
        clock.now += 10
        queue.renew([digest, "f" * 64], "ann")
    assert queue.given(digest, "ann").leased == pytest.approx(clock.now, abs=60)
    assert queue.given(digest, "ann").next_n <= 7


@pytest.mark.parametrize(
    ("answer", "number", "right"),
    [
        (("maybe",), 1, False),
        ((), 1, False),
        (("yes", "no"), 1, False),
        (("?",), 1, True),
        ((), 3, True),
        (("duration", "age"), 3, True),
        (("age", "?"), 3, False),
        (("age", "height"), 3, False),
    ],
)
def test_an_answer_that_is_not_offered_is_refused_and_cannot_say_is_offered_always(
    queue, answer, number, right
):
    digest = ONE.digest if number == 1 else item(3, several=True, choices=FIELDS).digest
    if right:
        assert queue.answer(digest, "ann", answer, seconds=1.0).answer == tuple(sorted(answer))
    else:
        assert reason_of(lambda: queue.answer(digest, "ann", answer, seconds=1.0)) == "AnswerRefused"
        assert queue.given(digest, "ann").answer is None


def test_unknown_items_and_reviewers_are_refused(tmp_path):
    queue = open_queue(FolderStorage(tmp_path), reviewers=("ann", "Zoë"))
    queue.add([ONE])
    assert reason_of(lambda: queue.answer("f" * 64, "ann", ("yes",), seconds=1.0)) == "UnknownItem"
    assert reason_of(lambda: queue.answer(ONE.digest, "bob", ("yes",), seconds=1.0)) == "UnknownReviewer"
    assert reason_of(lambda: queue.next_item("../ann")) == "UnknownReviewer"
    assert reason_of(lambda: queue.undo(ONE.digest, "ann")) == "NothingToUndo"
    for seconds in (-1.0, float("nan"), float("inf")):
        assert (
            reason_of(lambda s=seconds: queue.answer(ONE.digest, "ann", ("yes",), seconds=s))
            == "AnswerRefused"
        )
    assert queue.answer(ONE.digest, "Zoë", ("yes",), seconds=1.0).answer == ("yes",)


def test_an_answer_to_a_retired_item_is_refused_with_the_reason_and_earlier_ones_do_not_count(queue, clock):
    queue.answer(ONE.digest, "ann", ("yes",), seconds=4.0)
    another(queue, clock).retire([ONE.digest], reason="the session was withdrawn")
    with pytest.raises(InputError, match="no longer asked: the session was withdrawn") as refused:
        queue.answer(ONE.digest, "bob", ("yes",), seconds=1.0)
    assert refused.value.reason == "ItemRetired"
    assert queue.item(ONE.digest) is None
    assert queue.freeze().answers == ()
    assert (queue.status().retired, queue.status().needed, queue.status().given) == (1, 2, 0)
    assert queue.given(ONE.digest, "ann").answer == ("yes",), "it is kept"


def test_items_that_another_server_adds_are_asked(queue, clock):
    another(queue, clock).add([item(9)])
    assert queue.item(item(9).digest) == item(9)
    assert queue.progress("ann").total == 4


def test_a_clock_that_is_set_back_keeps_the_order_of_a_reviewers_events(queue, clock):
    queue.answer(ONE.digest, "ann", ("yes",), seconds=4.0)
    before = queue.given(ONE.digest, "ann").latest
    clock.now -= 3600
    queue.answer(ONE.digest, "ann", ("no",), seconds=4.0)
    given = queue.given(ONE.digest, "ann")
    assert (given.answer, given.latest) == (("no",), before)
    assert another(queue, clock).given(ONE.digest, "ann") == given


def test_the_frozen_answers_do_not_depend_on_when_and_how_they_were_given(tmp_path, clock):
    direct, roundabout = (open_queue(FolderStorage(tmp_path / name), clock=clock) for name in ("a", "b"))
    for queue in (direct, roundabout):
        queue.add([ONE, item(2)])
    direct.answer(ONE.digest, "ann", ("yes",), seconds=4.0)
    direct.answer(item(2).digest, "bob", ("no",), seconds=4.0)
    clock.now += 5000
    roundabout.answer(item(2).digest, "bob", ("no",), seconds=1.0)
    roundabout.skip(ONE.digest, "ann")
    roundabout.comment(ONE.digest, "ann", "hard to say")
    roundabout.answer(ONE.digest, "ann", ("yes",), seconds=9.0)
    assert direct.freeze() == roundabout.freeze()
    before = direct.freeze().digest
    direct.answer(ONE.digest, "ann", ("no",), seconds=1.0)
    assert direct.freeze().digest != before


def test_what_was_published_before_is_known_to_whoever_publishes_next(tmp_path, clock):
    queue = open_queue(FolderStorage(tmp_path), clock=clock)
    queue.add([ONE, item(2)])
    queue.answer(ONE.digest, "ann", ("yes",), seconds=4.0)
    first = queue.freeze()
    for _ in range(2):  # a publication that is tried again has not looked before
        assert queue.keep_freeze(first) == []
    queue.answer(item(2).digest, "bob", ("no",), seconds=4.0)
    again = open_queue(FolderStorage(tmp_path), clock=clock)
    (earlier,) = again.keep_freeze(again.freeze())
    assert earlier == Freeze(answers=first.digest, items=(ONE.digest,))
    assert [freeze.answers for freeze in again.keep_freeze(first)] == [again.freeze().digest]


def test_answers_to_items_that_a_later_draw_leaves_out_are_carried(tmp_path, clock):
    storage = FolderStorage(tmp_path)
    before = open_queue(storage, clock=clock)
    before.add([ONE, item(2), item(4), item(5, why="known", expected=("yes",))])
    for number, said in ((1, "yes"), (2, "no"), (5, "yes")):
        digest = item(number, why="known", expected=("yes",)).digest if number == 5 else item(number).digest
        before.answer(digest, "ann", (said,), seconds=4.0)
    before.answer(repeated(ONE, ONE.digest).digest, "ann", ("yes",), seconds=4.0)

    after = ReviewQueue(
        FolderStorage(tmp_path), name="clinic", only={item(2).digest, item(3).digest}, clock=clock
    )
    after.add([item(2), item(3)])
    assert [one.item for one in after.carried()] == [ONE]
    assert [(answer.reviewer, answer.answer) for answer in after.carried()[0].answers] == [("ann", ("yes",))]
    assert [answer.item for answer in after.freeze().answers] == [item(2).digest]
    # An answer that somebody gives on a page with the earlier draw, and then takes back.
    before.answer(item(4).digest, "ann", ("no",), seconds=4.0)
    assert len(after.carried()) == 2
    before.undo(item(4).digest, "ann")
    assert len(after.carried()) == 1
    assert before.carried() == []


def test_the_answer_of_one_who_adjudicates_is_marked_where_others_disagree(tmp_path, clock):
    queue = open_queue(FolderStorage(tmp_path), clock=clock, overlap=2)
    queue.add([ONE, item(2)])
    for name, answer in (("ann", "yes"), ("bob", "no")):
        queue.answer(ONE.digest, name, (answer,), seconds=1.0)
    assert queue.next_item("eve", adjudicates=True) == ONE.digest
    assert [name for name, _, _ in queue.others(ONE.digest, "eve")] == ["ann", "bob"]
    queue.answer(ONE.digest, "eve", ("no",), seconds=1.0, adjudicates=True)
    queue.answer(item(2).digest, "eve", ("no",), seconds=1.0, adjudicates=True)
    marked = {(answer.item, answer.reviewer): answer.adjudicated for answer in queue.freeze().answers}
    assert marked[ONE.digest, "eve"] is True
    assert marked[item(2).digest, "eve"] is False
    assert queue.status().between_people.items == 1


def test_the_status_tells_what_is_missing_and_how_long_it_takes(tmp_path, clock):
    truth = Truth(40, known=5)
    queue = open_queue(FolderStorage(tmp_path), clock=clock, double_share=1.0)
    queue.add(truth.items)
    for name in ("ann", "bob"):
        while (digest := queue.next_item(name)) is not None:
            queue.answer(digest, name, truth.answer(queue, digest), seconds=30.0)
            clock.now += 30
    queue.add([item(n) for n in range(500, 510)])
    status = queue.status()
    anchors = sum(1 for one in truth.items[:40] if one.split == "anchor")
    assert status.needed == 40 + anchors + 10
    assert (status.given, status.missing, status.surplus) == (40 + anchors, 10, 0)
    assert status.seconds == 30.0
    assert status.minutes_left == pytest.approx(10 * 30 / 60, rel=0.1)
    assert {(count.kind, count.split) for count in status.counts} == {
        ("still_needed", s) for s in ("anchor", "search")
    }
    assert (status.between_people.items, status.between_people.kappa) == (anchors, 1.0)
    for share in (status.self_agreement, status.attention):
        assert share.hits == share.n > 0
    assert status.changed.hits == 0
    assert any(f"draw {100 - anchors} more" in notice for notice in status.notices)
    progress = queue.progress("ann")
    assert (progress.answered, progress.total, progress.at_most, progress.done) == (
        sum(1 for digest, _, name, _ in queue.responses() if name == "ann"),
        progress.answered + 10,
        True,
        False,
    )
    assert progress.seconds_left == pytest.approx(300.0, rel=0.15)


@pytest.mark.parametrize("seconds", [2.0, 18.0, 160.0])
def test_the_time_that_is_left_comes_to_the_reviewers_pace_without_jumps(tmp_path, clock, seconds):
    queue = open_queue(FolderStorage(tmp_path), clock=clock, known_every=0, repeat_every=0, double_share=0.0)
    queue.add([item(number) for number in range(60)])
    paces = []
    for number in range(50):
        found = queue.progress("ann")
        paces.append(found.seconds_left / (found.total - found.answered))
        clock.now += seconds
        queue.answer(item(number).digest, "ann", ("yes",), seconds=seconds)
    assert paces[0] == pytest.approx(18.0)
    assert all(0.7 < after / before < 1.4 for before, after in pairwise(paces))
    assert paces[-1] == pytest.approx(seconds, rel=0.4)


def test_the_last_answer_is_found_on_any_server_and_a_repeated_undo_finds_the_same(queue, clock):
    other = another(queue, clock)
    assert queue.last_done("ann") is None
    for number in (2, 1):
        clock.now += 5
        queue.answer(item(number).digest, "ann", ("yes",), seconds=4.0)
    queue.answer(item(2).digest, "bob", ("yes",), seconds=4.0)
    assert other.last_done("ann") == ONE.digest
    other.undo(ONE.digest, "ann", id="undo-1")
    assert other.last_done("ann") == item(2).digest
    assert other.last_done("ann", id="undo-1") == ONE.digest
    other.retire([item(2).digest], reason="the session was withdrawn")
    assert other.last_done("ann") is None


def test_the_status_counts_changes_of_mind_disagreement_and_cannot_say(tmp_path, clock):
    queue = open_queue(FolderStorage(tmp_path), clock=clock, overlap=2)
    items = [item(n, votes=votes("yes")) for n in range(10)]
    queue.add(items)
    for n, one in enumerate(items):
        queue.answer(one.digest, "ann", ("yes",) if n % 2 else ("no",), seconds=1.0)
        queue.answer(one.digest, "bob", ("yes",) if n < 5 else ("no",), seconds=1.0)
    queue.answer(items[0].digest, "ann", ("yes",), seconds=1.0)
    status = queue.status()
    assert (status.changed.hits, status.changed.n) == (1, 20)
    assert status.between_people.same == 4, "blind answers count: 1, 3, 6 and 8 are equal"
    assert status.between_people.kappa == pytest.approx(-0.2)
    for one in items:
        for name in ("ann", "bob"):
            queue.answer(one.digest, name, ("?",), seconds=1.0)
    assert any("cannot say" in notice for notice in queue.status().notices)
    assert queue.status().cannot_say == 20
    assert any("cannot say" in warning for warning in queue.warnings("ann")) is False, (
        "ten answers are too few"
    )


def test_items_that_everyone_skipped_are_named(queue):
    queue.skip(ONE.digest, "ann")
    assert any("1 item was skipped" in notice for notice in queue.status().notices)


def test_two_servers_with_many_threads_never_give_the_same_item_to_two_people(tmp_path):
    servers = [open_queue(FolderStorage(tmp_path), clock=time.time) for _ in range(2)]
    servers[0].add([item(n) for n in range(100)])
    names = [f"reviewer {n}" for n in range(20)]
    taken: dict[str, list[str]] = {name: [] for name in names}

    def take(name: str, server: ReviewQueue) -> None:
        while (digest := server.next_item(name)) is not None:
            taken[name].append(digest)
            server.answer(digest, name, ("yes",), seconds=1.0)

    threads = [threading.Thread(target=take, args=(name, servers[n % 2])) for n, name in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    repeats = {repeated(item(n), item(n).digest).digest for n in range(100)}
    found = [digest for digests in taken.values() for digest in digests if digest not in repeats]
    assert sorted(found) == sorted(item(n).digest for n in range(100))
    assert servers[0].status().surplus == 0


def test_of_two_who_take_an_item_at_the_same_time_the_second_gives_way(tmp_path, clock):
    class Racing(FolderStorage):
        """Another server leases the item between the decision and the lease."""

        between = None

        def append(self, event):
            if self.between is not None:
                between, self.between = self.between, None
                between()
            return super().append(event)

    storage = Racing(tmp_path)
    queue, other = open_queue(storage, clock=clock), open_queue(FolderStorage(tmp_path), clock=clock)
    queue.add([ONE, item(2)])
    given = []
    storage.between = lambda: given.append(other.next_item("ann"))
    given.append(queue.next_item("bob"))
    assert sorted(given) == sorted((ONE.digest, item(2).digest))
    assert other.next_item("ann") == given[0]
    assert queue.given(given[0], "bob").leased is None, "bob gave way"


def test_a_server_that_knows_an_outdated_state_neither_swallows_an_answer_nor_an_undo(tmp_path, clock):
    class Outdated(FolderStorage):
        poll_seconds = math.inf

    queue, other = (open_queue(Outdated(tmp_path), clock=clock) for _ in range(2))
    queue.add([ONE])
    other.refresh()
    queue.answer(ONE.digest, "ann", ("yes",), seconds=1.0)
    other.undo(ONE.digest, "ann")
    assert queue.answer(ONE.digest, "ann", ("yes",), seconds=1.0, id="again").answer == ("yes",)
    assert other.given(ONE.digest, "ann").answer == ("yes",)
    assert other.given(ONE.digest, "ann").next_n == 3
