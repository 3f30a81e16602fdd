"""Transitions of a rollout as a table, and its sentences."""

from __future__ import annotations

from typing import Any

import pytest
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.rollout import JudgedPairs, RolloutCounts, RolloutStatus, total
from learntoask.rollout.decide import begin, decide, is_over, look_again
from worlds.rollout import counted

NOW = 1_000_000.0
STEPS = [{"weight": 10, "pause": "1h", "minConversations": 50}, {"weight": 50}]


def strategy(**changes: Any) -> Strategy:
    base = {"mode": "canary", "steps": STEPS, "guards": [{"metric": "abandoned"}]}
    return Strategy.model_validate({**base, **changes})


def started(tried: Strategy) -> RolloutStatus:
    return begin(tried, id="r", stable="old", canary="new", now=NOW)


NOTHING = RolloutCounts()
BAD = counted((15, 40), (30, 360))
ALIKE = counted((100, 1000), (100, 1000), weight=50)
HOUR = 3600.0
SHADOW = {"shadow": {"pairs": 20}}

TABLE: list[tuple[str, dict[str, Any], RolloutCounts, float, dict[str, Any], tuple[str, int, str, str]]] = [
    ("nothing yet", {}, NOTHING, 0, {}, ("Steps", 10, "Hold", "Collecting")),
    ("a pause that lasts", {}, counted((5, 50), (45, 450)), 0, {}, ("Steps", 10, "Hold", "Collecting")),
    ("a pause that is over", {}, counted((5, 50), (45, 450)), HOUR, {}, ("Steps", 50, "Hold", "Collecting")),
    ("too few conversations", {}, counted((5, 49), (45, 450)), HOUR, {}, ("Steps", 10, "Hold", "Collecting")),
    ("harm", {}, BAD, 0, {}, ("RolledBack", 0, "Rollback", "HarmShown")),
    ("harm while paused", {}, BAD, 0, {"paused": True}, ("RolledBack", 0, "Rollback", "HarmShown")),
    ("no worse", {}, ALIKE, 0, {}, ("Promoted", 100, "Promote", "NoWorse")),
    ("no worse while paused", {}, ALIKE, 0, {"paused": True}, ("Steps", 10, "Hold", "Paused")),
    ("few users", {"minConversations": 2000}, ALIKE, 0, {}, ("Steps", 10, "Hold", "Collecting")),
    ("aborted", {}, ALIKE, 0, {"order": "abort"}, ("RolledBack", 0, "Rollback", "ByHand")),
    ("promoted", {}, BAD, 0, {"order": "promote"}, ("Promoted", 100, "Promote", "ByHand")),
    ("late", {"maxDuration": "1h"}, NOTHING, HOUR, {}, ("Steps", 10, "Hold", "TooLong")),
    (
        "late, and rolled back",
        {"maxDuration": "1h", "onMaxDuration": "rollback"},
        NOTHING,
        HOUR,
        {},
        ("RolledBack", 0, "Rollback", "TooLong"),
    ),
    (
        "calls that fail",
        {},
        RolloutCounts(calls=20, failed=5),
        0,
        {},
        ("RolledBack", 0, "Rollback", "LimitExceeded"),
    ),
    (
        "few calls that fail",
        {},
        RolloutCounts(calls=19, failed=19),
        0,
        {},
        ("Steps", 10, "Hold", "Collecting"),
    ),
    (
        "slow calls",
        {"limits": {"latency": "2s"}},
        RolloutCounts(calls=100, slow=6),
        0,
        {},
        ("RolledBack", 0, "Rollback", "LimitExceeded"),
    ),
    (
        "slow calls without a limit",
        {},
        RolloutCounts(calls=100, slow=100),
        0,
        {},
        ("Steps", 10, "Hold", "Collecting"),
    ),
    (
        "a skewed assignment",
        {},
        counted((100, 1000), (100, 1000), weight=10),
        HOUR,
        {},
        ("Steps", 10, "Hold", "AssignmentSkewed"),
    ),
    ("copies", SHADOW, NOTHING, 0, {}, ("Shadow", 0, "Hold", "JudgingCopies")),
    (
        "copies that win",
        SHADOW,
        RolloutCounts(better=15, worse=5),
        0,
        {},
        ("Steps", 10, "Hold", "Collecting"),
    ),
    (
        "copies that lose",
        SHADOW,
        RolloutCounts(better=0, worse=12),
        0,
        {},
        ("RolledBack", 0, "Rollback", "HarmShown"),
    ),
    (
        "copies that lose as people judge",
        SHADOW,
        RolloutCounts(better=12, worse=0),
        0,
        {"judged": JudgedPairs(id="r", better=0, worse=12)},
        ("RolledBack", 0, "Rollback", "HarmShown"),
    ),
    (
        "copies that lose by the patterns alone",
        SHADOW,
        RolloutCounts(better=0, worse=12),
        0,
        {"judged": JudgedPairs(id="r", better=9, alike=1, worse=9)},
        ("Shadow", 0, "Hold", "JudgingCopies"),
    ),
    (
        "copies that people have judged",
        SHADOW,
        NOTHING,
        0,
        {"judged": JudgedPairs(id="r", better=10, alike=1, worse=9)},
        ("Steps", 10, "Hold", "Collecting"),
    ),
    (
        "judgements of another rollout",
        SHADOW,
        NOTHING,
        0,
        {"judged": JudgedPairs(id="s", better=0, worse=12)},
        ("Shadow", 0, "Hold", "JudgingCopies"),
    ),
    (
        "copies for ever",
        {"mode": "shadow", **SHADOW},
        RolloutCounts(better=50, worse=40),
        0,
        {},
        ("Shadow", 0, "Hold", "JudgingCopies"),
    ),
    (
        "an improvement",
        {"mode": "ab", "steps": [{"weight": 50}], "primary": "abandoned"},
        counted((50, 1000), (150, 1000), weight=50),
        0,
        {},
        ("Promoted", 100, "Promote", "Improved"),
    ),
    (
        "no improvement",
        {"mode": "ab", "steps": [{"weight": 50}], "primary": "abandoned"},
        ALIKE,
        0,
        {},
        ("Steps", 50, "Hold", "Collecting"),
    ),
]


@pytest.mark.parametrize(
    ("changes", "counts", "later", "asked", "expected"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_transitions(
    changes: dict[str, Any],
    counts: RolloutCounts,
    later: float,
    asked: dict[str, Any],
    expected: tuple[str, int, str, str],
) -> None:
    tried = strategy(**changes)
    state = decide(tried, started(tried), counts, now=NOW + later, **asked)
    assert (state.stage, state.weight, state.verdict, state.reason) == expected
    assert is_over(state) == (expected[0] in ("Promoted", "RolledBack"))
    again = decide(tried, state, counts, now=NOW + later, **{**asked, "order": None})
    assert again == state or asked


def test_an_end_is_final() -> None:
    tried = strategy()
    ended = decide(tried, started(tried), BAD, now=NOW)
    assert decide(tried, ended, ALIKE, now=NOW + 9e9, order="promote") == ended


def test_a_rollback_says_which_metric_by_how_much_on_how_many() -> None:
    tried = strategy()
    state = decide(tried, started(tried), BAD, now=NOW)
    assert state.message == "abandoned: 37.5% of 40 conversations of the canary, 8.3% of the control's"
    assert state.verdicts[-1].canary == 40


def test_a_hold_states_conversations_and_days_and_is_never_ended_by_time() -> None:
    tried = strategy(maxDuration="240h")
    state = decide(tried, started(tried), counted((2, 20), (18, 180)), now=NOW + 10 * 86_400)
    assert state.verdict == "Hold"
    assert state.remaining is not None
    assert 500 < state.remaining < 3000
    assert (
        f"about {state.remaining} more conversations, {-(-state.remaining // 20)} days at today's traffic"
        in state.message
    )


def test_a_hold_without_traffic_says_so() -> None:
    tried = strategy()
    assert "there is no traffic" in decide(tried, started(tried), NOTHING, now=NOW + 3600).message


def test_traffic_of_one_caller_holds_and_says_why() -> None:
    tried = strategy(unit="caller", steps=[{"weight": 50}])
    counts = counted((1, 1), (0, 0), weight=50, returning=4_000)
    state = decide(tried, started(tried), counts, now=NOW + 86_400)
    assert state.verdict == "Hold"
    assert "more callers" in state.message
    assert "1 callers so far, 4000 more conversations of theirs do not count" in state.message


@pytest.mark.parametrize("more", [{}, SHADOW])
def test_callers_that_no_request_names_are_the_reason(more: dict[str, Any]) -> None:
    tried = strategy(unit="caller", **more)
    state = decide(tried, started(tried), RolloutCounts(without_caller=7), now=NOW)
    assert (state.verdict, state.reason) == ("Hold", "CallersUnknown")
    assert "7 conversations began without a caller_id" in state.message
    named = RolloutCounts(without_caller=7, copies=1).plus(counted((0, 1), (0, 9)))
    state = decide(tried, started(tried), named, now=NOW)
    assert state.reason != "CallersUnknown"


def test_a_metric_that_is_not_observed_yet_makes_no_number_of_astronomers() -> None:
    tried = strategy(guards=[{"metric": "abandoned"}, {"metric": "stoppedEarly"}])
    state = decide(tried, started(tried), counted((2, 20), (6, 60)), now=NOW)
    assert state.remaining is not None
    assert state.remaining < 5_000


def test_a_metric_that_is_never_observed_is_named_instead_of_a_number() -> None:
    tried = strategy(guards=[{"metric": "abandoned"}, {"metric": "stoppedEarly"}])
    state = decide(tried, started(tried), counted((10, 100), (90, 900)), now=NOW)
    assert state.remaining is None
    assert "nothing was observed about stoppedEarly" in state.message


def test_harm_that_was_shown_once_stays_shown_after_the_counts_look_better() -> None:
    tried = strategy()
    shown = started(tried).model_copy(update={"harmful": ("abandoned",)})
    assert decide(tried, shown, counted((4, 400), (36, 3600)), now=NOW).verdict == "Rollback"


def test_alpha_is_divided_among_the_guards() -> None:
    one, three = (
        strategy(),
        strategy(guards=[{"metric": "abandoned"}, {"metric": "repaired"}, {"metric": "nonAnswer"}]),
    )
    border = counted((12, 40), (30, 360))
    assert decide(one, started(one), border, now=NOW).verdict == "Rollback"
    assert decide(three, started(three), border, now=NOW).verdict == "Hold"


def test_an_edited_strategy_takes_effect_and_forgets_metrics_that_it_dropped() -> None:
    first = strategy(guards=[{"metric": "abandoned"}, {"metric": "repaired"}])
    state = decide(first, started(first), counted((100, 1000), (900, 9000)), now=NOW)
    assert state.safe == ("abandoned",)
    edited = strategy(guards=[{"metric": "repaired"}], steps=[{"weight": 20}])
    state = decide(edited, state, counted((100, 1000), (900, 9000)), now=NOW)
    assert (state.safe, state.weight) == ((), 20)


def test_the_history_of_looks_is_bounded_and_keeps_its_ends() -> None:
    tried = strategy(guards=[{"metric": "abandoned", "margin": 0.001}])
    state = started(tried)
    for number in range(1, 500):
        state = decide(
            tried, state, counted((number // 10, number), (number * 9 // 10, number * 9)), now=NOW + number
        )
    assert len(state.verdicts) <= 40
    assert state.verdicts[0].conversations == 10
    assert state.verdicts[-1].conversations > 4500
    assert len(state.model_dump_json()) < 20_000


def test_time_alone_wakes_at_the_end_of_a_pause_and_of_the_longest_duration() -> None:
    tried = strategy(maxDuration="30m")
    assert look_again(tried, started(tried)) == NOW + 1800
    assert look_again(strategy(), started(strategy())) == NOW + 3600
    ended = decide(tried, started(tried), NOTHING, now=NOW, order="abort")
    assert look_again(tried, ended) is None


def test_counts_of_gateways_add_up_in_any_order() -> None:
    parts = [
        counted((1, 10), (9, 90)),
        counted((2, 10), (5, 90)),
        counted((3, 50), (1, 50), weight=50, calls=3),
    ]
    whole = total(parts)
    assert whole == total(reversed(parts))
    assert whole.at(10).metrics[0].canary_events == 3
    assert (whole.calls, whole.at(50).canary_ended, whole.at(70).canary_born) == (3, 50, 0)
