"""Weighted and prediction-powered means against formulas written out, and their coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from learntoask.statistics.inclusion import hajek, horvitz_thompson
from learntoask.statistics.prediction_powered import ppi_mean
from learntoask.statistics.student import student_quantile


def test_quantiles_of_student_equal_the_tables() -> None:
    # Fisher and Yates, table III: two-sided 5 % and one-sided 5 %.
    table = {
        1: (12.706, 6.314),
        2: (4.303, 2.920),
        5: (2.571, 2.015),
        30: (2.042, 1.697),
        120: (1.980, 1.658),
    }
    for freedom, (two_sided, one_sided) in table.items():
        assert student_quantile(0.975, freedom) == pytest.approx(two_sided, abs=6e-4)
        assert student_quantile(0.05, freedom) == pytest.approx(-one_sided, abs=6e-4)
    with pytest.raises(ValueError, match="between 0 and 1"):
        student_quantile(1.0, 5)


def stratified_draw(
    random: np.random.Generator, sizes: dict[str, tuple[int, int]], values: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Draw (drawn of all) items of each stratum without replacement."""
    drawn, inclusion, strata = [], [], []
    for name, (count, size) in sizes.items():
        drawn.append(random.choice(values[name], count, replace=False))
        inclusion.append(np.full(count, count / size))
        strata += [name] * count
    return np.concatenate(drawn), np.concatenate(inclusion), strata


def test_stratified_means_are_unbiased_and_their_intervals_cover() -> None:
    random = np.random.default_rng(3)
    sizes = {"disputed": (40, 100), "agreed": (40, 900)}
    values = {"disputed": random.binomial(1, 0.5, 100) * 1.0, "agreed": random.binomial(1, 0.3, 900) * 1.0}
    truth = np.concatenate(list(values.values())).mean()
    found = []
    for _ in range(600):
        sample = stratified_draw(random, sizes, values)
        found.append((hajek(*sample), horvitz_thompson(*sample, population=1000)))
    assert np.mean([one.value for one, _ in found]) == pytest.approx(truth, abs=0.01)
    assert np.mean([one.value for _, one in found]) == pytest.approx(truth, abs=0.01)
    spread = np.std([one.value for one, _ in found])
    assert np.mean([one.standard_error for one, _ in found]) == pytest.approx(spread, rel=0.1)
    covered = np.mean([one.interval()[0] <= truth <= one.interval()[1] for one, _ in found])
    assert covered == pytest.approx(0.94, abs=0.035)


def test_an_equal_draw_has_the_textbook_error() -> None:
    # Cochran 1977, equation 2.8: √((1 − f) s²/n).
    values = np.array([1.0, 4.0, 2.0, 5.0])
    found = hajek(values, np.full(4, 0.25), ["all"] * 4)
    assert found.value == 3.0
    assert found.standard_error == pytest.approx(np.sqrt(0.75 * values.var(ddof=1) / 4))


def test_a_whole_population_has_no_error_and_one_item_of_a_stratum_an_unknown_one() -> None:
    assert hajek(np.array([0.0, 1.0]), np.ones(2), ["a", "a"]).standard_error == 0
    assert np.isnan(hajek(np.array([0.0, 1.0]), np.full(2, 0.5), ["a", "b"]).standard_error)


def test_impossible_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        hajek(np.array([1.0]), np.array([0.0]), ["a"])


def drawn_labels(truth: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    labels = np.full(len(truth), np.nan)
    labels[chosen] = truth[chosen]
    return labels


def test_the_estimate_is_the_one_of_the_paper() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=500)
    predictions = truth + random.normal(size=500) * 0.5
    n = 50
    found = ppi_mean(drawn_labels(truth, np.arange(n)), predictions)
    # Equations 3 and 6 of Angelopoulos, Duchi and Zrnic (2023), whose unlabelled sample is the other 450 items.
    y, f, unlabelled = truth[:n], predictions[:n], predictions[n:]
    power = np.cov(y, f)[0, 1] / ((1 + n / len(unlabelled)) * f.var(ddof=1))
    value = y.mean() + power * (unlabelled.mean() - f.mean())
    variance = (y - power * f).var(ddof=1) / n + power**2 * unlabelled.var(ddof=1) / len(unlabelled)
    assert found.value == pytest.approx(value, abs=0.02)
    assert found.standard_error == pytest.approx(np.sqrt(variance), rel=0.03)
    assert found.power * len(unlabelled) / 500 == pytest.approx(power * len(unlabelled) / 500, rel=0.15)


def test_a_fixed_power_gives_the_paper_s_estimate_exactly() -> None:
    random = np.random.default_rng(1)
    truth, predictions = random.normal(size=(2, 100))
    # λ of the paper weighs the unlabelled mean; here the mean of all items, which makes it smaller by N/(N + n).
    found = ppi_mean(drawn_labels(truth, np.arange(20)), predictions, power=0.8)
    paper = truth[:20].mean() + 0.8 * 0.8 * (predictions[20:].mean() - predictions[:20].mean())
    assert found.value == pytest.approx(paper)


def test_useless_predictions_cost_nothing_and_good_ones_save_labels() -> None:
    random = np.random.default_rng(2)
    truth = random.binomial(1, 0.5, 4000).astype(float)
    labels = drawn_labels(truth, random.choice(4000, 300, replace=False))
    noise = ppi_mean(labels, random.binomial(1, 0.5, 4000).astype(float))
    good = ppi_mean(labels, np.where(random.random(4000) < 0.05, 1 - truth, truth))
    assert noise.worth == pytest.approx(1.0, abs=0.03)
    # Correlation .9: 1/(1 − .81 · (1 − n/N)) ≈ 4.
    assert good.worth == pytest.approx(4.0, abs=1.2)
    assert good.labels == 300


def test_a_biased_grader_is_corrected_under_unequal_inclusion_and_clusters() -> None:
    random = np.random.default_rng(4)
    covered, values = 0, []
    for _ in range(300):
        sessions = np.repeat(np.arange(400), 4)
        rate = random.beta(3, 3, size=400)[sessions]
        truth = (random.random(1600) < rate).astype(float)
        predictions = np.where(random.random(1600) < 0.2, 1.0, truth)  # says yes too often
        inclusion = np.where(predictions == 1, 0.05, 0.1)
        chosen = random.random(1600) < inclusion
        found = ppi_mean(
            drawn_labels(truth, chosen),
            predictions,
            inclusion=inclusion,
            sessions=[str(session) for session in sessions],
            bounds=(0.0, 1.0),
        )
        low, high = found.interval()
        covered += low <= 0.5 <= high
        values.append(found.value)
    assert np.mean(values) == pytest.approx(0.5, abs=0.01)
    assert covered / 300 == pytest.approx(0.95, abs=0.035)


def test_labels_that_never_differ_from_the_predictions_leave_a_doubt() -> None:
    truth = np.tile([0.0, 1.0], 500)
    labels = drawn_labels(truth, np.arange(60))
    assert ppi_mean(labels, truth).standard_error < ppi_mean(labels, truth, bounds=(0, 1)).standard_error


def test_no_label_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one label"):
        ppi_mean(np.full(3, np.nan), np.zeros(3))
