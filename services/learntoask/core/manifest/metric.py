"""The names of all metrics of a report. A gate is checked against them before the run starts.

[policy.][sampled.][seen.|unseen.]METRIC   one policy (default: the one under test), decoding (default:
                                           greedy) and group of tasks (default: all)
gap.METRIC, gap-growth.METRIC              rewarding grader minus reporting grader; the growth of that gap since SFT
AFTER-BEFORE.METRIC                        paired difference of two policies, e.g. grpo-sft.WS-stop
[policy.]replay.METRIC                     session replay
grader.PATH                                a value of the grader's agreement file, e.g. grader.kappa
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache

POLICIES = ("base", "sft", "grpo")
METRICS = (
    "WA",
    "WA-share",
    "WA-GH",
    "ask-rate",
    "WA-given-asked",
    "WA-GH-given-asked",
    "WS-continue",
    "WS-stop",
    "TA",
    "Format",
    "Total",
    "Total-share",
    "missing-share",
)
GAP_METRICS = ("WA", "WA-share", "WA-GH", "Format", "Total")
DIFFERENCES = (("grpo", "sft"), ("sft", "base"))
REPLAY_METRICS = (
    "coverage",
    "questions",
    "questions-per-expert-question",
    "on-time",
    "too-early",
    "too-late",
    "endless",
)
GRADER_PREFIX = "grader."


@lru_cache(maxsize=1)
def metric_names() -> frozenset[str]:
    """Return all names except those that begin with `grader.`, which depend on the grader's agreement file."""
    names = {
        f"{policy}{decoding}{group}{metric}"
        for policy in ("", *(f"{policy}." for policy in POLICIES))
        for decoding in ("", "sampled.")
        for group in ("", "seen.", "unseen.")
        for metric in METRICS
    }
    names |= {f"{scope}.{metric}" for scope in ("gap", "gap-growth") for metric in GAP_METRICS}
    names |= {f"{after}-{before}.{metric}" for after, before in DIFFERENCES for metric in METRICS}
    names |= {
        f"{policy}replay.{metric}"
        for policy in ("", *(f"{policy}." for policy in POLICIES))
        for metric in REPLAY_METRICS
    }
    return frozenset(names)


def suggestion(name: str, known: frozenset[str], *, examples: Sequence[str] = METRICS) -> str:
    """Return a hint that names the known name closest to `name`, or `examples` if none is close.

    The comparison ignores letter case and the difference between `_` and `-`.
    """
    folded: dict[str, str] = {}
    for candidate in sorted(known, key=lambda known_name: (len(known_name), known_name)):
        folded.setdefault(_fold(candidate), candidate)
    matches = difflib.get_close_matches(_fold(name), folded, n=1, cutoff=0.5)
    if matches:
        return f"did you mean {folded[matches[0]]!r}?"
    return f"there are {', '.join(examples)}"


def check_metric(name: str) -> str:
    """Return `name` if it is the name of a metric. Raises ValueError with the closest known name."""
    if name in metric_names() or name.startswith(GRADER_PREFIX):
        return name
    raise ValueError(f"no report has a metric {name!r}; {suggestion(name, metric_names())}")


def _fold(name: str) -> str:
    return name.casefold().replace("_", "-")
