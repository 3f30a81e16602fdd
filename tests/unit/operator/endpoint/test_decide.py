"""From one policy to the next: every step of the decision, and what holds after each step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from learntoask.core.manifest import PolicyReference
from learntoask.core.manifest.ask_endpoint import Rollout
from learntoask.core.status.conditions import timestamp
from learntoask.core.status.endpoint import Revision
from learntoask_operator.endpoint.decide import EndpointDecision, decide
from learntoask_operator.endpoint.observe import ObservedServers
from learntoask_operator.endpoint.trial import Target, without_trial

NOW = 1_800_000_000.0


def policy(letter: str) -> PolicyReference:
    return PolicyReference(publication=letter[0] * 64, policy=letter[0] * 64)


def revision(number: int, letter: str, state: str, **fields: object) -> Revision:
    warm = timestamp(NOW - 50) if state in ("Serving", "Draining", "Retired") else None
    return Revision(
        **{
            "number": number,
            "name": letter,
            "policy": policy(letter),
            "state": state,
            "created": timestamp(NOW - 100),
            "warm": warm,
        }
        | fields
    )


def step(
    target: str,
    revisions: list[Revision],
    servers: dict[str, ObservedServers],
    *,
    replicas: int = 2,
    previous: str | None = None,
    now: float = NOW,
    **rollout: object,
) -> EndpointDecision:
    return decide(
        trial=without_trial(Target(name=target, policy=policy(target))),
        previous=previous if previous is not None else (revisions[0].name if revisions else ""),
        revisions=revisions,
        servers=servers,
        replicas=replicas,
        rollout=Rollout.model_validate(rollout),
        now=now,
    )


def states(decision: EndpointDecision) -> dict[str, str]:
    return {one.name: one.state for one in decision.revisions}


def up(count: int, ready: int | None = None, **fields: object) -> ObservedServers:
    return ObservedServers(wanted=count, pods=count, ready=count if ready is None else ready, **fields)


def test_the_first_policy_starts_and_serves_when_it_is_warm():
    first = step("a", [], {})
    assert (states(first), first.scale, first.traffic) == ({"a": "Pending"}, {"a": 2}, ("a",))
    cold = step("a", list(first.revisions), {"a": up(2, 0)})
    assert states(cold) == {"a": "WarmingUp"}
    warm = step("a", list(cold.revisions), {"a": up(2, 1)})
    assert states(warm) == {"a": "Serving"}
    assert warm.revisions[0].warm == timestamp(NOW)


def test_a_policy_that_cannot_start_and_has_nothing_to_go_back_to_is_tried_on():
    cold = [revision(1, "a", "WarmingUp")]
    decision = step("a", cold, {"a": up(2, 0, restarts=9, last_message="no such model")})
    assert states(decision) == {"a": "WarmingUp"}
    assert decision.scale == {"a": 2}
    assert (decision.revisions[0].reason, "no such model" in decision.revisions[0].message) == (
        "WarmUpFailed",
        True,
    )
    recovered = step("a", list(decision.revisions), {"a": up(2)})
    assert (states(recovered), recovered.revisions[0].reason) == ({"a": "Serving"}, "")


FULL = {"maxSurge": 2, "drain": "30s"}


def test_with_room_for_all_new_servers_all_traffic_moves_at_once():
    old = [revision(1, "a", "Serving")]
    begun = step("b", old, {"a": up(2)}, **FULL)
    assert (states(begun), begun.scale, begun.traffic) == (
        {"b": "Pending", "a": "Serving"},
        {"a": 2, "b": 2},
        ("a",),
    )
    half = step("b", list(begun.revisions), {"a": up(2), "b": up(2, 1)}, **FULL)
    assert (half.traffic, half.lead, half.scale) == (("a",), "a", {"a": 2, "b": 2})
    moved = step("b", list(half.revisions), {"a": up(2), "b": up(2)}, **FULL)
    assert (states(moved), moved.traffic) == ({"b": "Serving", "a": "Draining"}, ("b",))
    assert (moved.scale, moved.look_again) == ({"a": 2, "b": 2}, NOW + 30)
    later = step("b", list(moved.revisions), {"a": up(2), "b": up(2)}, now=NOW + 30, **FULL)
    assert (states(later), later.scale) == ({"b": "Serving", "a": "Retired"}, {"b": 2})


def test_with_room_for_one_both_answer_while_servers_are_exchanged_one_by_one():
    revisions, servers, seen = [revision(1, "a", "Serving")], {"a": up(3)}, []
    for _ in range(12):
        decision = step("b", revisions, servers, replicas=3, previous="b" if seen else "a", maxSurge=1)
        seen.append((decision.scale.get("a", 0), decision.scale["b"], decision.traffic))
        revisions = list(decision.revisions)
        servers = {name: up(count) for name, count in decision.scale.items()}
        if decision.traffic == ("b",):
            break
    assert seen[0] == (3, 1, ("a",))
    assert seen[1] == (2, 1, ("a", "b"))
    assert seen[-1][2] == ("b",)
    assert all(old + new <= 4 for old, new, _ in seen)
    assert all(old + new >= 3 for old, new, _ in seen)


def test_without_spare_room_an_old_server_goes_first():
    rollout = {"maxSurge": 0, "maxUnavailable": 1}
    begun = step("b", [revision(1, "a", "Serving")], {"a": up(3)}, replicas=3, **rollout)
    assert (begun.scale, begun.traffic) == ({"a": 2, "b": 0}, ("a",))
    room = step("b", list(begun.revisions), {"a": up(2)}, replicas=3, **rollout)
    assert room.scale == {"a": 2, "b": 1}
    failing = {"a": up(2), "b": up(1, 0, restarts=3, last_message="out of memory")}
    failed = step("b", list(room.revisions), failing, replicas=3, **rollout)
    assert (states(failed), failed.scale, failed.traffic) == (
        {"b": "Failed", "a": "Serving"},
        {"a": 3},
        ("a",),
    )


@pytest.mark.parametrize(
    ("servers", "now", "message"),
    [
        (up(1, 0, restarts=3, last_message="pod ended with 3: NaN"), NOW, "its container ended 3 times: pod"),
        (up(1, 0, last_message="image not found"), NOW + 1200, "not warm within 20m: image not found"),
    ],
)
def test_a_policy_that_does_not_warm_up_never_gets_traffic_and_says_why(
    servers: ObservedServers, now: float, message: str
):
    begun = [revision(2, "b", "WarmingUp"), revision(1, "a", "Serving")]
    failed = step("b", begun, {"a": up(2), "b": servers}, now=now)
    assert (states(failed), failed.traffic, failed.scale) == (
        {"b": "Failed", "a": "Serving"},
        ("a",),
        {"a": 2},
    )
    assert failed.revisions[0].message.startswith(message)
    again = step("b", list(failed.revisions), {"a": up(2)}, now=now + 9999)
    assert states(again) == {"b": "Failed", "a": "Serving"}  # until the target changes
    back = step("a", list(again.revisions), {"a": up(2)}, previous="b", now=now + 9999)
    assert (states(back), back.traffic, back.scale) == ({"a": "Serving", "b": "Failed"}, ("a",), {"a": 2})
    assert back.revisions[0].number == 3
    retried = step("b", list(back.revisions), {"a": up(2)}, previous="a", now=now + 9999)
    assert states(retried) == {"b": "Pending", "a": "Serving"}


def test_a_rollback_within_the_drain_time_needs_no_new_servers():
    moved = [revision(2, "b", "Serving"), revision(1, "a", "Draining", replaced=timestamp(NOW))]
    back = step("a", moved, {"a": up(2), "b": up(2)}, previous="b")
    assert (states(back), back.traffic) == ({"a": "Serving", "b": "Draining"}, ("a",))
    assert back.revisions[0].number == 3


def test_a_third_policy_replaces_one_that_never_answered():
    begun = [revision(2, "b", "WarmingUp"), revision(1, "a", "Serving")]
    decision = step("c", begun, {"a": up(2), "b": up(1, 0)}, previous="b")
    assert states(decision) == {"c": "Pending", "b": "Retired", "a": "Serving"}
    assert "b" not in decision.scale
    assert decision.traffic == ("a",)


def test_servers_that_fall_ill_after_the_switch_do_not_bring_the_old_policy_back():
    moved = [revision(2, "b", "Serving"), revision(1, "a", "Draining", replaced=timestamp(NOW - 5))]
    ill = step("b", moved, {"a": up(2), "b": up(2, 0, restarts=9)})
    assert (states(ill), ill.traffic) == ({"b": "Serving", "a": "Draining"}, ("b",))


def test_no_replicas_is_no_failure():
    decision = step("a", [revision(1, "a", "WarmingUp")], {}, replicas=0, now=NOW + 99999)
    assert (decision.scale, decision.revisions[0].reason) == ({"a": 0}, "")


def test_the_history_is_bounded_and_live_revisions_always_stay():
    past = [revision(number, f"f{number}", "Retired") for number in range(9, 0, -1)]
    decision = step("a", [revision(10, "a", "Serving"), *past], {"a": up(2)}, history=3)
    assert [one.name for one in decision.revisions] == ["a", "f9", "f8", "f7"]


class AnyRollout(RuleBasedStateMachine):
    """Servers start, warm up, crash and end in any order, while policies and replicas change at any time."""

    @initialize(
        replicas=st.integers(1, 4),
        surge=st.integers(0, 4),
        unavailable=st.integers(0, 2),
    )
    def begin(self, replicas: int, surge: int, unavailable: int) -> None:
        self.rollout = {"maxSurge": surge, "maxUnavailable": unavailable or int(surge == 0)}
        self.replicas, self.now, self.target = replicas, NOW, "a"
        self.revisions: list[Revision] = []
        self.previous = ""
        self.servers: dict[str, ObservedServers] = {}
        self.decision: EndpointDecision | None = None
        self.warmed: set[str] = set()
        self.reconcile()

    @rule()
    def reconcile(self) -> None:
        self.decision = step(
            self.target,
            self.revisions,
            self.servers,
            replicas=self.replicas,
            previous=self.previous,
            now=self.now,
            **self.rollout,
        )
        self.previous, self.revisions = self.target, list(self.decision.revisions)
        again = step(
            self.target,
            self.revisions,
            self.servers,
            replicas=self.replicas,
            now=self.now,
            **self.rollout,
        )
        assert (again.scale, again.traffic) == (self.decision.scale, self.decision.traffic)
        for name in [name for name in self.servers if name not in self.decision.scale]:
            del self.servers[name]
        for name, count in self.decision.scale.items():
            before = self.servers.get(name, ObservedServers())
            self.servers[name] = replace(
                before,
                wanted=count,
                pods=count,
                ready=min(before.ready, count),
                restarts=before.restarts if count else 0,
            )

    @rule(letter=st.sampled_from("abcd"))
    def edit(self, letter: str) -> None:
        self.target = letter

    @rule(seconds=st.sampled_from([1, 31, 1300]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def one_gets_ready(self) -> None:
        for name, servers in self.servers.items():
            if servers.ready < servers.pods:
                self.servers[name] = replace(servers, ready=servers.ready + 1)
                self.warmed.add(name)
                return

    @rule()
    def the_target_crashes(self) -> None:
        if self.target in self.servers and self.servers[self.target].pods:
            servers = self.servers[self.target]
            self.servers[self.target] = replace(servers, ready=0, restarts=servers.restarts + 1)

    @invariant()
    def only_warm_policies_are_asked_while_one_is_warm(self) -> None:
        if self.decision is None:
            return
        by_name = {one.name: one for one in self.decision.revisions}
        serving = [name for name in self.decision.traffic if by_name[name].state == "Serving"]
        assert not serving or all(by_name[name].warm for name in self.decision.traffic)
        assert all(by_name[name].state != "Failed" for name in self.decision.traffic)
        assert self.decision.traffic

    @invariant()
    def what_is_asked_keeps_its_servers(self) -> None:
        if self.decision is None:
            return
        assert set(self.decision.traffic) <= set(self.decision.scale)
        names = [one.name for one in self.decision.revisions]
        assert len(names) == len(set(names))

    @invariant()
    def there_are_never_more_servers_than_allowed(self) -> None:
        if self.decision is None:
            return
        draining = sum(
            self.decision.scale.get(one.name, 0) for one in self.decision.revisions if one.state == "Draining"
        )
        bound = self.replicas + self.rollout["maxSurge"]
        assert sum(self.decision.scale.values()) - draining <= max(bound, self.replicas)

    def teardown(self) -> None:
        """Without further changes, and with servers that get ready, every rollout ends."""
        if self.decision is None:
            return
        for _ in range(40):
            self.reconcile()
            for name, servers in self.servers.items():
                self.servers[name] = replace(servers, ready=servers.pods, restarts=0)
            self.now += 31
        record = self.decision.revisions[0]
        if record.state != "Failed":
            assert self.decision.traffic == (self.target,)
            assert self.decision.scale == {self.target: self.replicas}


AnyRollout.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyRollout = AnyRollout.TestCase
