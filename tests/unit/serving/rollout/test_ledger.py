"""The ledger of a gateway: arms are pinned, conversations count once, also where they move between gateways."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.manifest.strategy import Outcome
from learntoask.core.status.rollout import RolloutCounts, total
from learntoask.rollout.assignment import arm_at_birth
from learntoask.rpc.requests import InvalidRequest
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.ledger import Ledger, Leg
from learntoask.serving.rollout.traffic import Traffic
from learntoask.wire import ask_pb2 as wire
from worlds.serving import PACK

WITHIN = 60.0
EVENTS = EventReader(PACK)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ledger(clock: Clock, *, weight: int = 50, gateway: str = "g1", **changes: Any) -> Ledger:
    made = Ledger(EVENTS, gateway=gateway, clock=clock)
    made.set_traffic(
        Traffic(**{"rollout": "r", "weight": weight, "within": WITHIN, "started": 0.0} | changes)
    )
    return made


def mature(made: Ledger) -> None:
    """Observe all conversations that are old enough."""
    while made.mature():
        pass


class Talk:
    """A conversation whose caller echoes the assignment, if `echoes`."""

    def __init__(self, name: str, *, echoes: bool = True, caller: str = "") -> None:
        self.asked = wire.DecideRequest(conversation_id=name, caller_id=caller)
        self.name, self.echoes = name, echoes
        self.arms: list[str] = []

    def turn(self, at: Ledger, *, said: str = "so", stop: bool = False, failed: bool = False) -> Leg:
        self.asked.messages.append(wire.Message(role=wire.ROLE_USER, content=said))
        request = wire.DecideRequest()
        request.CopyFrom(self.asked)
        leg = at.leg(self.name, request, routing_key=self.name)
        self.arms.append(at.arm(leg))
        decision = wire.Decision(origin=wire.ORIGIN_MODEL)
        if stop:
            decision.stop.SetInParent()
        else:
            decision.ask.question = f"What about {len(self.asked.messages)}?"
        at.answered(leg, request, decision, failed=failed)
        content = "<stop />" if stop else decision.ask.question
        self.asked.messages.append(
            wire.Message(role=wire.ROLE_ASSISTANT, content=content, author=wire.AUTHOR_POLICY)
        )
        if self.echoes:
            self.asked.assignment.CopyFrom(decision.assignment)
        return leg


def metric(counts: RolloutCounts, name: str) -> tuple[int, int, int, int]:
    """Events and observations of the canary, then of the control, over all weights."""
    found = [m for of_weight in counts.weights for m in of_weight.metrics if m.metric == name]
    return (
        sum(m.canary_events for m in found),
        sum(m.canary for m in found),
        sum(m.control_events for m in found),
        sum(m.control for m in found),
    )


def name_of(arm: str, *, weight: int = 50) -> str:
    return next(f"c{n}" for n in range(1000) if arm_at_birth(f"c{n}", "r", weight=weight) == arm)


def test_a_conversation_keeps_its_arm_at_every_later_weight() -> None:
    clock = Clock()
    made = ledger(clock, weight=10)
    talks = [Talk(f"c{n}", echoes=n % 2 == 0) for n in range(400)]
    for weight in (10, 50, 99, 0, 100):
        made.set_traffic(Traffic(rollout="r", weight=weight, within=WITHIN))
        for talk in talks:
            talk.turn(made)
    assert all(len(set(talk.arms)) == 1 for talk in talks)
    canary = sum(talk.arms[0] == "canary" for talk in talks)
    assert 20 < canary < 60
    assert made.total().at(10).canary_born == canary


def test_conversations_are_observed_at_one_age_whatever_happened() -> None:
    clock = Clock()
    made = ledger(clock)
    Talk(name_of("canary")).turn(made, stop=True)
    Talk(name_of("control")).turn(made)
    clock.now += WITHIN - 1
    mature(made)
    assert metric(made.total(), "abandoned") == (0, 0, 0, 0)
    clock.now += 1
    mature(made)
    assert metric(made.total(), "abandoned") == (0, 1, 1, 1)
    assert (made.total().at(50).canary_ended, made.total().at(50).control_ended) == (1, 1)


def test_another_gateway_knows_the_arm_from_the_assignment_and_without_it_leaves_it_out() -> None:
    clock = Clock()
    first, second = ledger(clock), ledger(clock, gateway="g2", weight=99)
    echoing, silent = Talk(name_of("control")), Talk(name_of("control"), echoes=False)
    for talk in (echoing, silent):
        talk.turn(first)
        talk.turn(second)
    assert echoing.arms == ["control", "control"]
    clock.now += WITHIN
    mature(second)
    assert second.total().at(99).canary_ended == 0
    assert metric(second.total(), "error") == (0, 0, 0, 0)


def test_a_conversation_that_began_before_the_rollout_stays_with_the_control() -> None:
    clock = Clock()
    made = ledger(clock, weight=99, started=clock.now - 1)
    old = Talk("c1", echoes=False)
    old.asked.messages.extend([wire.Message(role=wire.ROLE_USER), wire.Message(role=wire.ROLE_ASSISTANT)])
    old.turn(made)
    assert old.arms == ["control"]
    earlier = ledger(clock, gateway="g0", rollout="before", weight=99)
    talk = Talk(name_of("canary", weight=99))
    talk.turn(earlier)
    made = ledger(clock, weight=99, started=0.0)
    talk.turn(made)
    assert talk.arms[-1] == "control"


def test_a_lost_canary_moves_its_conversations_and_counts_the_error_alone() -> None:
    clock = Clock()
    made = ledger(clock)
    talk = Talk(name_of("canary"))
    leg = talk.turn(made)
    made.move(leg)
    talk.turn(made, failed=True, stop=True)
    assert talk.arms == ["canary", "control"]
    clock.now += WITHIN
    mature(made)
    assert metric(made.total(), "error") == (1, 1, 0, 0)
    assert metric(made.total(), "abandoned") == (0, 0, 0, 0)
    assert made.total().switched == 1


def test_a_withdrawn_canary_keeps_or_moves_its_conversations() -> None:
    clock = Clock()
    for evict, arms in ((False, ["canary", "canary"]), (True, ["canary", "control"])):
        made = ledger(clock)
        talk = Talk(name_of("canary"))
        talk.turn(made)
        made.set_traffic(Traffic(rollout="r", weight=0, within=WITHIN, evict=evict))
        talk.turn(made)
        assert talk.arms == arms


def test_requests_without_an_id_get_one_arm_by_their_beginning_and_are_not_counted() -> None:
    clock = Clock()
    made = ledger(clock)
    asked = wire.DecideRequest(messages=[wire.Message(role=wire.ROLE_USER, content="hi")])
    arms = {made.arm(made.leg("", asked, routing_key="hi")) for _ in range(5)}
    assert len(arms) == 1
    assert made.total() == RolloutCounts()


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_conversations_that_move_between_gateways_count_once(data: st.DataObject) -> None:
    clock = Clock()
    gateways = [ledger(clock, gateway=f"g{n}") for n in range(3)]
    talks = [Talk(f"c{n}") for n in range(4)]
    expected: dict[str, dict[str, bool]] = {}
    for _ in range(data.draw(st.integers(1, 16))):
        talk = data.draw(st.sampled_from(talks))
        clock.now += data.draw(st.sampled_from([0.0, 1.0]))
        failed = data.draw(st.booleans())
        seen = expected.setdefault(talk.name, {"error": False, "stopped": False, "nonAnswer": False})
        said = data.draw(st.sampled_from(["yes it is", "I don't know"]))
        first, stop = not talk.arms, data.draw(st.integers(0, 3)) == 0
        if not seen["stopped"]:
            seen["error"] |= failed
            seen["nonAnswer"] |= said == "I don't know" and not first
            seen["stopped"] |= stop
        talk.turn(data.draw(st.sampled_from(gateways)), said=said, stop=stop, failed=failed)
    clock.now += WITHIN
    for gateway in gateways:
        mature(gateway)
    counts = total(gateway.total() for gateway in gateways)
    for arm, place in (("canary", 0), ("control", 2)):
        own = [expected[talk.name] for talk in talks if talk.arms and talk.arms[0] == arm]
        for name in ("error", "nonAnswer", "abandoned"):
            events = sum(not seen["stopped"] if name == "abandoned" else seen[name] for seen in own)
            assert metric(counts, name)[place : place + 2] == (events, len(own)), name
    assert all(len(set(talk.arms)) <= 1 for talk in talks)


def test_a_gateway_that_ends_counts_what_it_has_and_the_next_one_the_rest() -> None:
    clock = Clock()
    first = ledger(clock)
    talk = Talk(name_of("canary"))
    talk.turn(first)
    first.close()
    second = ledger(clock, gateway="g2")
    talk.turn(second, stop=True)
    clock.now += WITHIN
    mature(second)
    assert metric(total([first.total(), second.total()]), "abandoned") == (0, 1, 0, 0)


RULES = {"booked": Outcome(name="booked", labels=("yes",)), "rating": Outcome(name="rating", at_least=3)}


def test_outcomes_count_once_and_contradictions_are_refused() -> None:
    clock = Clock()
    made = ledger(clock, outcomes=RULES)
    name = name_of("canary")
    talk = Talk(name)
    talk.turn(made, stop=True)
    assert made.report(name, "booked", "no", None) == (True, False)
    assert made.report(name, "booked", "no", None) == (False, False)
    with pytest.raises(ValueError, match="reported as 'no' before"):
        made.report(name, "booked", "yes", None)
    assert made.report(name, "rating", 2.0, None) == (True, False)
    assert made.report(name, "unmeasured", "x", None) == (True, False)
    assert metric(made.total(), "outcome/booked") == (1, 1, 0, 0)
    assert metric(made.total(), "outcome/rating") == (1, 1, 0, 0)
    with pytest.raises(LookupError):
        made.report("nobody", "booked", "yes", None)


def test_an_outcome_counts_where_its_conversation_began_wherever_it_is_reported() -> None:
    clock = Clock()
    first, second = ledger(clock, outcomes=RULES), ledger(clock, gateway="g2", outcomes=RULES)
    talk = Talk(name_of("control"))
    talk.turn(first)
    talk.turn(second)
    talk.turn(first)
    clock.now += 9 * 3600  # hours late
    assert second.report(talk.name, "booked", "yes", talk.asked.assignment) == (True, True)
    assert second.report(talk.name, "booked", "yes", None) == (False, True)
    for _ in range(2):  # told by the second gateway, and by the caller
        first.report(talk.name, "booked", "yes", talk.asked.assignment)
    assert metric(total([first.total(), second.total()]), "outcome/booked") == (0, 0, 0, 1)


def test_an_outcome_is_not_counted_again_after_the_gateway_was_started_again() -> None:
    clock = Clock()
    before = ledger(clock, outcomes=RULES)
    talk = Talk(name_of("control"))
    talk.turn(before)
    before.report(talk.name, "booked", "yes", None)
    after = ledger(clock, outcomes=RULES)
    assert after.report(talk.name, "booked", "yes", talk.asked.assignment) == (True, True)
    assert metric(total([before.total(), after.total()]), "outcome/booked") == (0, 0, 0, 1)


@pytest.mark.parametrize(("name", "value"), [("booked", 1.0), ("rating", "good")])
def test_an_outcome_of_another_kind_names_the_field(name: str, value: str | float) -> None:
    clock = Clock()
    made = ledger(clock, outcomes=RULES)
    Talk("c1").turn(made)
    with pytest.raises(InvalidRequest, match=r"send (label|number)"):
        made.report("c1", name, value, None)
    assert made.report("c1", name, "yes" if name == "booked" else 4.0, None).first


def test_outcomes_of_conversations_outside_a_rollout_are_known() -> None:
    clock = Clock()
    made = ledger(clock, rollout="", weight=0)
    Talk("c1").turn(made)
    assert made.report("c1", "booked", "yes", None) == (True, False)
    assert made.total() == RolloutCounts()


def test_another_rollout_begins_its_counts_at_zero() -> None:
    clock = Clock()
    made = ledger(clock)
    for number in range(20):
        Talk(f"c{number}").turn(made)
    made.set_traffic(Traffic(rollout="next", weight=50, within=WITHIN))
    clock.now += WITHIN
    mature(made)
    assert made.total() == RolloutCounts()


def test_a_greeting_is_no_answer_so_the_conversation_begins_here() -> None:
    clock = Clock()
    made = ledger(clock)
    talk = Talk(name_of("canary"))
    greeting = wire.Message(role=wire.ROLE_ASSISTANT, content="Hello, how can I help?")
    talk.asked.messages.append(greeting)
    talk.turn(made)
    assert made.total().at(50).canary_born == 1


def test_what_happens_after_the_observation_is_not_counted_by_a_later_gateway() -> None:
    clock = Clock()
    first, second = ledger(clock), ledger(clock, gateway="g2")
    talk = Talk(name_of("canary"))
    talk.turn(first)
    clock.now += WITHIN
    mature(first)
    talk.turn(second, stop=True, failed=True)
    mature(second)
    assert second.total() == RolloutCounts()
    assert metric(first.total(), "abandoned") == (1, 1, 0, 0)


def test_conversations_beyond_the_bound_are_answered_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learntoask.serving.rollout.ledger.MOST_OBSERVED", 10)
    clock = Clock()
    made = ledger(clock)
    talks = [Talk(f"c{number}") for number in range(30)]
    for talk in talks:
        talk.turn(made)
        talk.turn(made, stop=True)
    assert all(len(set(talk.arms)) == 1 for talk in talks)
    counts = made.total().at(50)
    assert counts.canary_born + counts.control_born == 10
    clock.now += WITHIN
    mature(made)
    counts = made.total().at(50)
    assert counts.canary_ended + counts.control_ended == 10


def test_callers_keep_their_arm_and_the_first_conversation_of_each_is_counted() -> None:
    clock = Clock()
    made = ledger(clock, by_caller=True)
    arms: dict[str, set[str]] = {}
    for number in range(120):
        caller = f"person{number % 40}"
        talk = Talk(f"c{number}", caller=caller)
        talk.turn(made, stop=True)
        arms.setdefault(caller, set()).update(talk.arms)
    assert all(len(own) == 1 for own in arms.values())
    assert set.union(*arms.values()) == {"canary", "control"}
    clock.now += WITHIN
    mature(made)
    counts = made.total()
    assert counts.born("canary") == counts.ended("canary") == sum(own == {"canary"} for own in arms.values())
    assert (
        counts.born("control") == counts.ended("control") == sum(own == {"control"} for own in arms.values())
    )
    assert (counts.returning, counts.without_caller) == (80, 0)


def test_a_greater_weight_moves_callers_at_their_next_conversation_and_never_back() -> None:
    clock = Clock()
    made = ledger(clock, by_caller=True)
    met: dict[str, list[str]] = {}
    for weight in (10, 50, 90):
        made.set_traffic(Traffic(rollout="r", weight=weight, within=WITHIN, by_caller=True))
        for number in range(60):
            talk = Talk(f"{weight}-{number}", caller=f"p{number}")
            talk.turn(made)
            met.setdefault(f"p{number}", []).extend(talk.arms)
    assert all(arms == sorted(arms, reverse=True) for arms in met.values())  # control before canary
    assert sum(arms[0] != arms[-1] for arms in met.values()) > 20
    assert made.total().born("canary") + made.total().born("control") == 60


def test_conversations_without_a_caller_belong_to_the_control_and_do_not_count() -> None:
    clock = Clock()
    made = ledger(clock, weight=99, by_caller=True)
    talks = [Talk(f"c{number}") for number in range(20)]
    for talk in talks:
        talk.turn(made)
        talk.turn(made, stop=True)
    unnamed = wire.DecideRequest(messages=[wire.Message(role=wire.ROLE_USER, content="hi")])
    assert made.arm(made.leg("", unnamed, routing_key="hi")) == "control"
    assert {arm for talk in talks for arm in talk.arms} == {"control"}
    clock.now += WITHIN
    mature(made)
    assert made.total() == RolloutCounts(without_caller=20)


def test_one_caller_with_many_conversations_is_one_observation() -> None:
    clock = Clock()
    made = ledger(clock, by_caller=True)
    for number in range(300):
        Talk(f"c{number}", caller="the only one").turn(made)
    clock.now += WITHIN
    mature(made)
    counts = made.total()
    assert counts.born("canary") + counts.born("control") == 1
    assert sum(metric(counts, "abandoned")[1::2]) == 1
    assert counts.returning == 299


def test_a_caller_is_copied_once_and_still_counts_at_the_first_weight() -> None:
    clock = Clock()
    made = ledger(clock, weight=0, copies=1.0, by_caller=True)
    copied = [made.is_copied(Talk(f"c{n}", caller="ann").turn(made)) for n in range(3)]
    assert copied == [True, False, False]
    made.set_traffic(Traffic(rollout="r", weight=50, within=WITHIN, by_caller=True))
    Talk("c4", caller="ann").turn(made)
    assert made.total().born("canary") + made.total().born("control") == 1


def test_callers_beyond_the_bound_are_answered_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learntoask.serving.rollout.callers.MOST_CALLERS", 10)
    made = ledger(Clock(), by_caller=True)
    for number in range(30):
        Talk(f"c{number}", caller=f"p{number}").turn(made)
    assert made.total().born("canary") + made.total().born("control") == 10


def test_a_conversation_that_another_policy_answers_is_marked_and_left_out() -> None:
    clock = Clock()
    made = ledger(clock)
    leg = Talk(name_of("control")).turn(made)
    for revision, moved in (
        ("", False),
        ("old", False),
        ("", False),
        ("old", False),
        ("new", True),
        ("old", True),
    ):
        decision = wire.Decision(origin=wire.ORIGIN_MODEL, policy_revision=revision)
        decision.ask.question = "And?"
        made.answered(leg, wire.DecideRequest(), decision, failed=False)
        assert decision.assignment.moved == moved, revision
    assert made.total().switched == 1
    clock.now += WITHIN
    mature(made)
    assert made.total().at(50).control_ended == 0


def test_a_conversation_that_outlives_its_rollout_is_still_marked_also_at_another_gateway() -> None:
    decision = wire.Decision(origin=wire.ORIGIN_MODEL, policy_revision="old")
    decision.ask.question = "And?"
    made = ledger(Clock())
    leg = Talk(name_of("canary")).turn(made)
    made.answered(leg, wire.DecideRequest(), decision, failed=False)
    asked = wire.DecideRequest(conversation_id=leg.name, assignment=decision.assignment)
    for at in (made, ledger(Clock(), gateway="g2")):
        at.set_traffic(Traffic())
        later = wire.Decision(origin=wire.ORIGIN_MODEL, policy_revision="new")
        found = at.leg(leg.name, asked, routing_key=leg.name)
        assert at.arm(found) == "control"
        at.answered(found, asked, later, failed=False)
        assert later.assignment.moved
        assert at.total() == RolloutCounts()


def test_a_copied_conversation_counts_once_by_its_faults() -> None:
    clock = Clock()
    made = ledger(clock, weight=0, copies=1.0)
    for extra in ([1, 0], [-1, -1], [1, -1]):
        talk = Talk(f"c{extra}")
        leg = talk.turn(made)
        assert made.is_copied(leg)
        for faults in extra:
            made.copied(leg, faults)
    clock.now += WITHIN
    mature(made)
    counts = made.total()
    assert (counts.better, counts.alike, counts.worse, counts.copies) == (1, 1, 1, 6)
    assert counts.weights == ()
