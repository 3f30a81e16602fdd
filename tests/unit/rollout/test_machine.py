"""A rollout under random conversations, orders, pauses, restarts and edits of the strategy."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.rollout import MetricCounts, RolloutCounts, RolloutStatus, WeightCounts
from learntoask.rollout.assignment import Arm, arm_at_birth
from learntoask.rollout.decide import begin, decide, is_over

STRATEGIES: list[dict[str, Any]] = [
    {"mode": "canary", "guards": [{"metric": "abandoned"}], "minConversations": 5},
    {
        "mode": "canary",
        "shadow": {"pairs": 5},
        "guards": [{"metric": "abandoned", "margin": 0.4}],
        "steps": [
            {"weight": 20, "minConversations": 3},
            {"weight": 40, "minConversations": 3},
            {"weight": 90},
        ],
        "minConversations": 5,
        "maxDuration": "1h",
    },
    {
        "mode": "ab",
        "primary": "abandoned",
        "guards": [{"metric": "abandoned"}, {"metric": "repaired", "margin": 0.3}],
        "steps": [{"weight": 50}],
    },
]


class Rollouts(RuleBasedStateMachine):
    """Conversations are born, end and are counted, while the state moves on."""

    @initialize(number=st.integers(0, len(STRATEGIES) - 1))
    def start(self, number: int) -> None:
        self.strategy = Strategy.model_validate(STRATEGIES[number])
        self.state = begin(self.strategy, id="r", stable="a", canary="b", now=0.0)
        self.counts, self.now = RolloutCounts(), 0.0
        self.pinned: dict[str, tuple[Arm, int]] = {}
        self.open: list[str] = []
        self.history: list[RolloutStatus] = [self.state]

    @rule(several=st.integers(1, 60))
    def conversations_are_born(self, several: int) -> None:
        weight = self.state.weight
        arms = []
        for _ in range(several):
            name = f"c{len(self.pinned)}"
            arm = arm_at_birth(name, self.state.id, weight=weight)
            self.pinned[name] = arm, weight
            self.open.append(name)
            arms.append(arm)
        if 0 < weight < 100:
            canary = arms.count("canary")
            born = WeightCounts(weight=weight, canary_born=canary, control_born=several - canary)
            self.counts = self.counts.plus(RolloutCounts(weights=(born,)))

    @rule(data=st.data(), harmful=st.sampled_from([0, 1, 5, 10]))
    def conversations_end(self, data: st.DataObject, harmful: int) -> None:
        """`harmful` of ten canary conversations have the event, and one of ten of the control's."""
        several = data.draw(st.integers(0, len(self.open)))
        ended, self.open = self.open[:several], self.open[several:]
        for number, name in enumerate(ended):
            arm, weight = self.pinned[name]
            assert arm_at_birth(name, "r", weight=weight) == arm  # never two arms for one conversation
            if not 0 < weight < 100:
                continue
            event = int(number % 10 < (harmful if arm == "canary" else 1))
            metrics = tuple(
                MetricCounts(metric=guard.metric, **{arm: 1, f"{arm}_events": event})
                for guard in self.strategy.guards
            )
            part = WeightCounts(weight=weight, metrics=metrics, **{f"{arm}_ended": 1})
            self.counts = self.counts.plus(RolloutCounts(weights=(part,)))

    @rule(better=st.integers(0, 5), worse=st.integers(0, 5))
    def copies_are_judged(self, better: int, worse: int) -> None:
        self.counts = self.counts.plus(RolloutCounts(better=better, worse=worse))

    @rule(seconds=st.sampled_from([0.0, 1.0, 600.0, 7200.0]), paused=st.booleans())
    def it_is_decided(self, seconds: float, paused: bool) -> None:
        self.now += seconds
        self.state = decide(self.strategy, self.state, self.counts, now=self.now, paused=paused)
        self.history.append(self.state)

    @rule()
    def the_process_is_killed_and_decides_once_more(self) -> None:
        restored = RolloutStatus.model_validate_json(self.state.model_dump_json(by_alias=True))
        assert restored == self.state
        again = decide(self.strategy, restored, self.counts, now=self.now, paused=self.state.paused)
        twice = decide(self.strategy, again, self.counts, now=self.now, paused=self.state.paused)
        if self.strategy.steps[0].min_conversations:
            assert (twice.stage, twice.step) == (again.stage, again.step) or again.stage == "Shadow"
        self.state = again
        self.history.append(again)

    @precondition(lambda self: len(self.history) > 8)
    @rule(order=st.sampled_from(["promote", "abort"]))
    def somebody_decides(self, order: Any) -> None:
        over = is_over(self.state)
        state = decide(self.strategy, self.state, self.counts, now=self.now, order=order)
        if not over:
            assert state.stage == {"promote": "Promoted", "abort": "RolledBack"}[order]
        self.state = state
        self.history.append(state)

    @invariant()
    def no_user_meets_the_canary_beyond_the_step(self) -> None:
        allowed = [0, *(step.weight for step in self.strategy.steps)]
        weight = {"Promoted": 100, "RolledBack": 0, "Shadow": 0}.get(self.state.stage)
        assert self.state.weight == weight if weight is not None else self.state.weight in allowed

    @invariant()
    def nothing_is_ever_taken_back(self) -> None:
        order = {"Shadow": 0, "Steps": 1, "Promoted": 2, "RolledBack": 2}
        for before, after in zip(self.history[-2:], self.history[-1:], strict=False):
            assert order[before.stage] <= order[after.stage]
            assert before.stage != after.stage or before.step <= after.step
            assert set(before.harmful) <= set(after.harmful)
            assert set(before.safe) <= set(after.safe)
            if is_over(before):
                assert after == before
            if "repaired" in before.harmful or "abandoned" in before.harmful:
                assert before.verdict == "Rollback" or before.reason == "ByHand"

    @invariant()
    def a_promotion_needs_evidence_or_a_person(self) -> None:
        if self.state.stage == "Promoted" and self.state.reason != "ByHand":
            assert {guard.metric for guard in self.strategy.guards} <= set(self.state.safe)


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
