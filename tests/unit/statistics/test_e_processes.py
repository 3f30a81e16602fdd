"""E-processes: expectation 1 or less under the null, false alarms at every look, and power against known values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from learntoask.statistics.change import change_log_e
from learntoask.statistics.e_process import bernoulli_log_e, bounded_log_e, mean_interval, paired_log_e
from learntoask.statistics.sample_ratio import sample_ratio_log_e
from learntoask.statistics.two_sample import (
    ArmCounts,
    difference_interval,
    fewer_events_log_e,
    growth,
    more_events_log_e,
    not_worse_log_e,
)

LIMIT = math.log(20)


def arms(canary: tuple[int, int], control: tuple[int, int], *, share: float = 0.5) -> ArmCounts:
    """Counts (events, observations) of both arms."""
    return ArmCounts(
        share=share, canary_events=canary[0], canary=canary[1], control_events=control[0], control=control[1]
    )


@pytest.mark.parametrize("null", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("side", ["greater", "less"])
def test_the_expected_e_value_of_counts_is_exactly_one_on_the_boundary(null: float, side: str) -> None:
    chances = [math.comb(12, k) * null**k * (1 - null) ** (12 - k) for k in range(13)]
    expected = sum(
        chance * math.exp(bernoulli_log_e(k, 12, null=null, side=side)) for k, chance in enumerate(chances)
    )
    assert expected == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize(
    ("log_e", "chances", "exact"),
    [
        (more_events_log_e, (0.3, 0.3), True),
        (more_events_log_e, (0.2, 0.5), False),
        (fewer_events_log_e, (0.3, 0.3), True),
        (fewer_events_log_e, (0.5, 0.3), False),
        (lambda steps: not_worse_log_e(steps, margin=0.1), (0.4, 0.3), False),
        (lambda steps: not_worse_log_e(steps, margin=0.1), (0.7, 0.2), False),
        (lambda steps: more_events_log_e(steps, margin=0.2), (0.4, 0.2), False),
    ],
)
def test_the_expected_e_value_of_two_arms_is_at_most_one_under_the_null(
    log_e: object, chances: tuple[float, float], exact: bool, share: float
) -> None:
    canary, control = chances
    cells = [(1 - share) * (1 - control), (1 - share) * control, share * (1 - canary), share * canary]
    expected = 0.0
    size = 6
    for counts in itertools.product(range(size + 1), repeat=3):
        if sum(counts) > size:
            continue
        last = size - sum(counts)
        chance = math.factorial(size)
        for count, cell in zip((*counts, last), cells, strict=True):
            chance *= cell**count / math.factorial(count)
        step = arms((last, counts[2] + last), (counts[1], counts[0] + counts[1]), share=share)
        expected += chance * math.exp(log_e([step]))
    assert expected <= 1 + 1e-6
    if exact:
        assert expected == pytest.approx(1.0)


def stopping_times(
    canary: float, control: float, *, share: float, runs: int, longest: int, seed: int
) -> np.ndarray:
    """The number of observations at which harm is shown, with a look after every one; inf if never."""
    random = np.random.default_rng(seed)
    found = np.full(runs, np.inf)
    for run in range(runs):
        in_canary = random.random(longest) < share
        event = random.random(longest) < np.where(in_canary, canary, control)
        totals = [np.cumsum(part) for part in (in_canary & event, in_canary, ~in_canary & event, ~in_canary)]
        for look in range(longest):
            a, b, c, d = (int(total[look]) for total in totals)
            if event[look] and more_events_log_e([arms((a, b), (c, d), share=share)]) >= LIMIT:
                found[run] = look + 1
                break
    return found


def test_harm_is_shown_within_310_conversations_in_nine_of_ten_rollouts() -> None:
    times = stopping_times(0.3, 0.1, share=0.5, runs=60, longest=450, seed=1)
    assert np.quantile(times, 0.9) <= 310
    # The growth rate predicts the median, apart from what it costs not to know the chances.
    assert np.median(times) < 2.5 * LIMIT / growth(share=0.5, canary=0.3, control=0.1)


def test_looks_after_every_conversation_raise_few_false_alarms() -> None:
    times = stopping_times(0.2, 0.2, share=0.5, runs=100, longest=250, seed=2)
    assert np.isfinite(times).mean() <= 0.05


def test_steps_of_different_shares_add_up() -> None:
    first, second = arms((6, 20), (10, 180), share=0.1), arms((30, 100), (8, 100))
    together = more_events_log_e([first, second])
    assert together > more_events_log_e([second]) > LIMIT
    assert more_events_log_e([]) == pytest.approx(0.0)


def test_equal_arms_are_found_not_worse_and_worse_ones_are_not() -> None:
    equal = arms((150, 1500), (150, 1500))
    assert not_worse_log_e([equal], margin=0.05) > LIMIT
    assert not_worse_log_e([arms((225, 1500), (150, 1500))], margin=0.05) < 0
    with pytest.raises(ValueError, match="margin"):
        not_worse_log_e([equal], margin=0.0)


def test_the_interval_of_a_difference_holds_it_and_shrinks() -> None:
    small = difference_interval([arms((30, 100), (10, 100))], alpha=0.05)
    large = difference_interval([arms((600, 2000), (200, 2000))], alpha=0.05)
    assert small[0] < large[0] < 0.2 < large[1] < small[1]
    assert large[1] - large[0] < 0.1
    assert difference_interval([], alpha=0.05) == (-1.0, 1.0)


@pytest.mark.parametrize(
    "bad", [{"share": 0.0}, {"share": 1.0}, {"canary_events": 11}, {"control_events": -1}]
)
def test_impossible_counts_are_refused(bad: dict[str, float]) -> None:
    good = {"share": 0.5, "canary_events": 1, "canary": 10, "control_events": 1, "control": 10}
    with pytest.raises(ValueError, match=r"share|events"):
        ArmCounts(**{**good, **bad})


def test_forty_two_judged_pairs_decide_in_half_of_the_rollouts() -> None:
    # The canary wins .30 of the pairs that differ; the control's gain is tested.
    random = np.random.default_rng(6)
    times = []
    for _ in range(200):
        wins = np.cumsum(random.random(200) < 0.7)
        looks = (n for n in range(1, 201) if paired_log_e(int(wins[n - 1]), 0, int(n - wins[n - 1])) >= LIMIT)
        times.append(next(looks, 200))
    assert np.median(times) <= 50
    assert np.quantile(times, 0.9) <= 110


def test_paired_non_inferiority_has_expectation_at_most_one() -> None:
    # Gains .1, ties .6, losses .3: the mean difference is −.2, on the boundary of margin .2.
    expected = 0.0
    for gains, losses in itertools.product(range(9), repeat=2):
        ties = 8 - gains - losses
        if ties < 0:
            continue
        ways = math.factorial(8) / (math.factorial(gains) * math.factorial(losses) * math.factorial(ties))
        chance = ways * 0.1**gains * 0.6**ties * 0.3**losses
        expected += chance * math.exp(paired_log_e(gains, ties, losses, margin=0.2))
    assert expected == pytest.approx(1.0)
    assert paired_log_e(60, 400, 60, margin=0.1) > LIMIT


def test_bounded_means_stop_falsely_in_few_streams_and_find_real_gains() -> None:
    random = np.random.default_rng(7)
    false = sum(
        bounded_log_e(random.beta(2, 2, size=400), null=0.5, side="greater").max() >= LIMIT
        for _ in range(200)
    )
    assert false / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert bounded_log_e(random.beta(4, 2, size=200), null=0.5, side="greater")[-1] > LIMIT
    assert bounded_log_e(10 * random.beta(2, 4, size=200), null=5, side="less", bounds=(0, 10))[-1] > LIMIT
    with pytest.raises(ValueError, match="between 0"):
        bounded_log_e(np.array([2.0]), null=0.5, side="less")


def test_the_confidence_sequence_of_a_chance_covers_at_all_times() -> None:
    random = np.random.default_rng(8)
    missed = 0
    for _ in range(100):
        totals = np.cumsum(random.random(120) < 0.3)
        missed += any(
            not low <= 0.3 <= high
            for low, high in (mean_interval(int(totals[n - 1]), n, alpha=0.05) for n in range(5, 121, 10))
        )
    assert missed / 100 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)
    low, high = mean_interval(300, 1000, alpha=0.05)
    assert 0.24 < low < 0.3 < high < 0.36
    assert mean_interval(0, 0, alpha=0.05) == (0.0, 1.0)


def test_a_change_is_found_soon_and_false_alarms_are_rare() -> None:
    random = np.random.default_rng(9)
    first = []
    for _ in range(40):
        log_e, _ = change_log_e((random.random(2000) < 0.1) * 1.0, null=0.1, side="greater")
        alarms = np.nonzero(log_e >= math.log(500))[0]
        first.append(alarms[0] + 1 if alarms.size else 2000)
    assert np.mean(first) >= 500  # the bound on the average run length, although runs are cut at 2,000
    before, after = (random.random(500) < 0.1) * 1.0, (random.random(300) < 0.3) * 1.0
    quiet, state = change_log_e(before, null=0.1, side="greater")
    loud, _ = change_log_e(after, null=0.1, side="greater", state=state)
    whole, _ = change_log_e(np.concatenate([before, after]), null=0.1, side="greater")
    assert np.concatenate([quiet, loud]) == pytest.approx(whole)
    assert np.argmax(loud >= math.log(500)) < 120
    assert loud.max() >= math.log(500)


def test_the_sample_ratio_equals_the_dirichlet_multinomial_by_hand() -> None:
    # Prior Dirichlet(1, 1): the chance of any given order of 3 and 1 is 3!·1!/5! = 1/20, against 1/16 for halves.
    assert sample_ratio_log_e([3, 1], [0.5, 0.5], concentration=2) == pytest.approx(math.log(16 / 20))


def test_a_skewed_assignment_is_found_and_a_right_one_is_not() -> None:
    random = np.random.default_rng(10)
    false = 0
    for _ in range(200):
        canary = np.cumsum(random.random(1000) < 0.1)
        false += any(
            sample_ratio_log_e([int(canary[n - 1]), int(n - canary[n - 1])], [0.1, 0.9]) >= LIMIT
            for n in range(1, 1001, 5)
        )
    assert false / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert sample_ratio_log_e([150, 850], [0.1, 0.9]) > LIMIT
    with pytest.raises(ValueError, match="sum to 1"):
        sample_ratio_log_e([1, 1], [0.5, 0.6])
