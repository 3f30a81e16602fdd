"""Metrics against a table computed by hand, the identity as a property, and the coverage of intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.intervals import wilson
from learntoask.core.manifest.metric import METRICS
from learntoask.evaluation.stats.metrics import (
    COLUMNS,
    IDENTITY_TOLERANCE,
    REPORT_METRICS,
    Outcome,
    denominators,
    identity_error,
    metric_values,
    sums_by_session,
)
from learntoask.statistics.bootstrap import contrasts, estimates, mean_estimates, resampled_sums


def measured(outcomes: list[Outcome]) -> dict[str, float]:
    sums = sums_by_session(outcomes, sorted({outcome.session for outcome in outcomes}))
    return {name: float(value) for name, value in metric_values(sums.sum(axis=0)).items()}


def question(
    session: str, *, content: float, share: float, format: float, truth: str = "continue"
) -> Outcome:
    return Outcome(
        session=session,
        truth=truth,
        decision="continue",
        content=content,
        content_share=share,
        format=format,
        is_question=True,
    )


HIT_WITH_TWO_ITEMS = question("a", content=1, share=0.5, format=0.5)
STOPPED_TOO_EARLY = Outcome(session="a", truth="continue", decision="stop", format=1)
EXACT_STOP = Outcome(session="a", truth="stop", decision="stop", content=1, content_share=1, format=1)
APOLOGY = Outcome(session="b", truth="continue", decision="continue")
UNGRADED = Outcome(session="b", truth="continue", decision="continue", missing=True)
WENT_ON = question("b", content=0, share=0, format=1, truth="stop")
SLOPPY_STOP = Outcome(session="b", truth="stop", decision="stop", content=1, content_share=1)
TABLE = [HIT_WITH_TWO_ITEMS, STOPPED_TOO_EARLY, EXACT_STOP, APOLOGY, UNGRADED, WENT_ON, SLOPPY_STOP]


def test_metrics_equal_the_table_computed_by_hand() -> None:
    # Three continue samples, three stops, one missing; totals 3.5 + 0 + 4 + 1 + 0 + 3.
    assert measured(TABLE) == pytest.approx(
        {
            "WA": 1 / 3,
            "WA-share": 0.5 / 3,
            "WA-GH": 1 / 3,
            "ask-rate": 1 / 3,
            "WA-given-asked": 1.0,
            "WA-GH-given-asked": 1.0,
            "WS-continue": 2 / 3,
            "WS-stop": 2 / 3,
            "TA": 4 / 6,
            "Format": 1.5 / 6,
            "Total": 11.5 / 6,
            "Total-share": 10.5 / 6,
            "missing-share": 1 / 7,
        }
    )


def test_denominators_tell_over_how_much_each_is_a_mean() -> None:
    sums = sums_by_session(TABLE, ["a", "b"]).sum(axis=0)
    counts = {name: int(count) for name, count in denominators(sums).items()}
    assert counts["WA"] == counts["WS-continue"] == counts["ask-rate"] == 3
    assert counts["WA-given-asked"] == 1
    assert counts["WS-stop"] == 3
    assert counts["TA"] == counts["Total"] == 6
    assert counts["missing-share"] == 7


def test_partial_credit_is_no_good_hit() -> None:
    found = measured(
        [question("a", content=0.5, share=0.5, format=1), question("a", content=1, share=1, format=1)]
    )
    assert (found["WA"], found["WA-GH"]) == (0.75, 0.5)


def test_a_missing_grade_leaves_every_term() -> None:
    without = [outcome for outcome in TABLE if outcome is not UNGRADED]
    with_missing, alone = measured(TABLE), measured(without)
    assert {name: with_missing[name] for name in METRICS[:-1]} == {name: alone[name] for name in METRICS[:-1]}


@pytest.mark.parametrize("wrong", [STOPPED_TOO_EARLY, WENT_ON])
def test_a_wrong_decision_needs_no_grade_and_cannot_hide_as_missing(wrong: Outcome) -> None:
    hidden = Outcome(session=wrong.session, truth=wrong.truth, decision=wrong.decision, missing=True)
    found = measured([hidden])
    assert found["TA"] == found["Total"] == found["missing-share"] == 0.0


def test_no_stop_samples_leave_stop_accuracy_unmeasured_and_the_identity_whole() -> None:
    sums = sums_by_session([HIT_WITH_TWO_ITEMS, APOLOGY], ["a", "b"]).sum(axis=0)
    found = metric_values(sums)
    assert np.isnan(found["WS-stop"])
    assert found["Total"] == pytest.approx((3.5 + 1) / 2)
    assert identity_error(sums) < IDENTITY_TOLERANCE


def test_only_stop_samples() -> None:
    sums = sums_by_session([EXACT_STOP, WENT_ON], ["a", "b"]).sum(axis=0)
    assert np.isnan(metric_values(sums)["WA"])
    assert metric_values(sums)["Total"] == pytest.approx(2.0)
    assert identity_error(sums) < IDENTITY_TOLERANCE


@pytest.mark.parametrize("outcomes", [[], [UNGRADED]])
def test_nothing_measured_is_none_and_not_zero(outcomes: list[Outcome]) -> None:
    sums = sums_by_session(outcomes, ["b"])
    found = estimates(sums, REPORT_METRICS, resamples=100, seed=0)
    assert all(found[name].value is None and found[name].low is None for name in METRICS[:-1])
    assert identity_error(sums.sum(axis=0)) is None


def test_an_unknown_session_is_refused() -> None:
    with pytest.raises(KeyError):
        sums_by_session([EXACT_STOP], ["b"])


share = st.floats(0, 1)
outcome_lists = st.lists(
    st.builds(
        Outcome,
        session=st.sampled_from("abcdef"),
        truth=st.sampled_from(["continue", "stop"]),
        decision=st.sampled_from(["continue", "stop"]),
        content=share,
        content_share=share,
        format=st.sampled_from([0.0, 0.5, 1.0]),
        is_question=st.booleans(),
        missing=st.booleans(),
    ),
    max_size=40,
)


@given(outcome_lists)
def test_the_identity_holds_for_any_outcomes_and_in_every_resample(outcomes: list[Outcome]) -> None:
    sums = sums_by_session(outcomes, list("abcdef"))
    for total in [sums.sum(axis=0), *resampled_sums(sums, resamples=5, seed=1)]:
        error = identity_error(total)
        assert error is None or error < IDENTITY_TOLERANCE


@given(outcome_lists)
def test_good_hits_are_ask_rate_times_hits_given_asked(outcomes: list[Outcome]) -> None:
    found = measured(outcomes) if outcomes else {}
    if found and not np.isnan(found["WA-GH-given-asked"]):
        assert found["WA-GH"] == pytest.approx(found["ask-rate"] * found["WA-GH-given-asked"])
        assert found["ask-rate"] <= found["WS-continue"]


def stops(*right: tuple[int, int]) -> np.ndarray:
    """Sums of sessions with (right, all) stop samples each."""
    sums = np.zeros((len(right), len(COLUMNS)))
    sums[:, COLUMNS.index("right_stops")] = [hits for hits, _ in right]
    sums[:, COLUMNS.index("stops")] = [n for _, n in right]
    return sums


def test_sessions_are_resampled_whole() -> None:
    # Ten sessions of ten turns, each all right or all wrong: as many independent facts as there are sessions.
    clustered = stops(*[(10, 10)] * 5, *[(0, 10)] * 5)
    spread = stops(*[(5, 10)] * 10)
    wide = estimates(clustered, REPORT_METRICS, resamples=2000, seed=0)["WS-stop"]
    narrow = estimates(spread, REPORT_METRICS, resamples=2000, seed=0)["WS-stop"]
    assert wide.value == narrow.value == 0.5
    # Binomial with n = 10: standard error √(.25/10) ≈ .158, 95 % about ± .3.
    assert wide.high - wide.low == pytest.approx(0.6, abs=0.1)
    assert narrow.low == narrow.high == 0.5


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        rates = random.beta(4, 2, size=60)
        sums = stops(*[(random.binomial(6, rate), 6) for rate in rates])
        found = estimates(sums, REPORT_METRICS, resamples=300, seed=trial)["WS-stop"]
        covered += found.low <= 4 / 6 <= found.high
    assert (
        covered >= 178
    )  # 95 % of 200 is 190, standard deviation 3.1; percentile intervals are a little short


def test_the_same_seed_gives_the_same_interval_and_columns_do_not_matter() -> None:
    sums = stops((3, 4), (1, 2), (0, 2), (2, 2))
    first = resampled_sums(sums, resamples=50, seed=3)
    assert np.array_equal(first, resampled_sums(sums, resamples=50, seed=3))
    assert np.array_equal(
        first, resampled_sums(np.hstack([sums, sums]), resamples=50, seed=3)[:, : len(COLUMNS)]
    )
    assert not np.array_equal(first, resampled_sums(sums, resamples=50, seed=4))


def test_many_sessions_are_resampled_in_parts_with_the_right_spread() -> None:
    sums = np.ones((50_000, 1))
    sums[::2] = 0
    drawn = resampled_sums(sums, resamples=200, seed=0)[:, 0] / 50_000
    assert drawn.mean() == pytest.approx(0.5, abs=0.001)
    assert drawn.std() == pytest.approx(np.sqrt(0.25 / 50_000), rel=0.2)


def test_a_perfect_score_on_few_sessions_is_no_certainty() -> None:
    found = estimates(stops((1, 1), (1, 1), (1, 1)), REPORT_METRICS, resamples=500, seed=0)["WS-stop"]
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(wilson(3, 3)[0])
    assert 0.4 < found.low < 0.5


def test_wilson_equals_published_values() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I


def test_one_session_has_no_interval() -> None:
    found = estimates(stops((1, 2)), REPORT_METRICS, resamples=100, seed=0)["WS-stop"]
    assert (found.value, found.low, found.high, found.n) == (0.5, None, None, 2)


def test_a_metric_that_most_resamples_leave_undefined_has_no_interval() -> None:
    sums = np.vstack([stops((1, 1)), np.zeros((30, len(COLUMNS)))])
    found = estimates(sums, REPORT_METRICS, resamples=300, seed=0)["WS-stop"]
    assert (found.value, found.low) == (1.0, None)


def test_pairing_takes_the_sessions_difficulty_out_of_the_difference() -> None:
    # `after` gets one more stop right in each of 40 sessions of very different difficulty.
    before = stops(*[(index % 9, 10) for index in range(40)])
    after = stops(*[(index % 9 + 1, 10) for index in range(40)])
    paired = contrasts([(before, after)], (-1, 1), REPORT_METRICS, resamples=500, seed=0)["WS-stop"]
    nothing = before[:0]
    unpaired = contrasts(
        [(before, nothing), (nothing, after)], (-1, 1), REPORT_METRICS, resamples=500, seed=0
    )["WS-stop"]
    assert paired.value == unpaired.value == pytest.approx(0.1)
    assert paired.low == pytest.approx(0.1)
    assert paired.significant
    assert unpaired.low < 0 < unpaired.high
    assert not unpaired.significant
    assert unpaired.p_value > 0.05 > paired.p_value > 0


def test_one_sided_bounds_lie_inside_the_two_sided_interval() -> None:
    before = stops(*[(index % 4, 4) for index in range(30)])
    after = stops(*[(index % 5, 5) for index in range(30)])
    found = contrasts([(before, after)], (-1, 1), REPORT_METRICS, resamples=1000, seed=0)["WS-stop"]
    assert found.low < found.one_sided_low < found.value < found.one_sided_high < found.high


def test_the_difference_of_equal_policies_is_nothing_for_sure() -> None:
    sums = stops((1, 2), (2, 2), (0, 3))
    found = contrasts([(sums, sums)], (-1, 1), REPORT_METRICS, resamples=100, seed=0)["WS-stop"]
    assert (found.value, found.low, found.high, found.significant, found.p_value) == (0, 0, 0, False, 1.0)


def test_the_difference_of_unmeasured_metrics_is_unmeasured() -> None:
    sums = stops((1, 2), (2, 2))
    assert contrasts([(sums, sums)], (-1, 1), REPORT_METRICS, resamples=100, seed=0)["WA"].value is None


def test_means_per_session_have_intervals() -> None:
    above, below = np.array([2.0, 4.0, 6.0]), np.ones(3)
    found = mean_estimates({"questions": (above, below)}, resamples=500, seed=0)["questions"]
    assert found.value == 4.0
    assert 2.0 <= found.low < 4.0 < found.high <= 6.0
    assert mean_estimates({"none": (np.zeros(0), np.zeros(0))}, resamples=100, seed=0)["none"].value is None
