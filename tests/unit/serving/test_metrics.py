"""Metrics that one thread counts without locks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from learntoask.rpc.metrics import SingleThreadHistogram
from prometheus_client import CollectorRegistry, Histogram

BOUNDS = (0.1, 0.5, 1.0)
# Multiples of 1/8 have exact sums in any order; 0.5 and 1.0 lie on bounds.
VALUES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 16).map(lambda n: n / 8)))


@given(VALUES)
def test_a_histogram_shows_what_the_librarys_shows(values: list[tuple[str, float]]):
    registries = CollectorRegistry(), CollectorRegistry()
    ours = SingleThreadHistogram("seconds", "Time", ["method"], bounds=BOUNDS, registry=registries[0])
    theirs = Histogram("seconds", "Time", ["method"], buckets=BOUNDS, registry=registries[1])
    for method, value in values:
        ours.observe((method,), value)
        theirs.labels(method).observe(value)
    shown, expected = (
        {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        }
        for registry in registries
    )
    assert shown == expected
