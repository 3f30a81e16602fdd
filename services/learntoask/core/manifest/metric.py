"""The names of all metrics of a report. A gate is checked against them before the run starts.

[policy.][sampled.][seen.|unseen.]METRIC   one policy (default: the one under test), decoding (default:
                                           greedy) and group of tasks (default: all)
gap.METRIC, gap-growth.METRIC              rewarding grader minus reporting grader; the growth of that gap since SFT
AFTER-BEFORE.METRIC                        paired difference of two policies, e.g. grpo-sft.WS-stop
[policy.]replay.METRIC                     session replay
[policy.]repeats.METRIC                    repeated questions under greedy decoding
[policy.]assessment.METRIC                 the fields that the policy finds missing, with train.assessment: fields
[policy.]corrected.METRIC                  a metric corrected by what people say, with spec.calibrate
calibration.kappa, …                       agreement of the graders with people, with spec.calibrate
grader.PATH                                a value of the graders' agreement.json (core.manifest.grader_metric)
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache

from learntoask.core.manifest.grader_metric import grader_metric_names

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
CORRECTED_METRICS = ("WA", "WA-GH", "WS-continue", "WS-stop", "TA", "Total")
CORRECTED = "corrected"
CALIBRATION_PREFIX = "calibration."
CALIBRATION_METRICS = ("kappa", "people.kappa", "answers")
GAP_METRICS = ("WA", "WA-share", "WA-GH", "Format", "Total")
DIFFERENCES = (("grpo", "sft"), ("sft", "base"))
REPEATS = "repeats"
REPEAT_METRICS = ("same-text", "known-field", "same-text-served", "known-field-served")
"""Shares of the questions that were put before in the same words, and of those that ask only for what the user has
given: as the policy drafts them, and (`-served`) as the server puts them with `serve.repeat`."""
ASSESSMENT = "assessment"
ASSESSMENT_METRICS = ("precision", "recall", "F1", "malformed")
"""Agreement of the fields that the policy finds missing with the micro-goals, over all `continue` decision points, and
the share of answers there whose assessment is missing or malformed."""
REPLAY_METRICS = (
    "coverage",
    "questions",
    "questions-per-expert-question",
    "on-time",
    "too-early",
    "too-late",
    "endless",
    *REPEAT_METRICS,
)
_DIFFERENCE_PREFIXES = (
    "gap.",
    "gap-growth.",
    *(f"{after}-{before}." for after, before in DIFFERENCES),
)
GRADER_PREFIX = "grader."
UNBOUNDED = frozenset({"Total", "Total-share", "questions", "questions-per-expert-question"})
"""Metrics whose values are not between 0 and 1."""


@lru_cache(maxsize=1)
def metric_names() -> frozenset[str]:
    """Return the names of all metrics."""
    names = {
        f"{policy}{decoding}{group}{metric}"
        for policy in ("", *(f"{policy}." for policy in POLICIES))
        for decoding in ("", "sampled.")
        for group in ("", "seen.", "unseen.")
        for metric in METRICS
    }
    names |= {
        f"{policy}{CORRECTED}.{metric}"
        for policy in ("", *(f"{policy}." for policy in POLICIES))
        for metric in CORRECTED_METRICS
    }
    names |= {f"{CALIBRATION_PREFIX}{metric}" for metric in CALIBRATION_METRICS}
    names |= {f"{scope}.{metric}" for scope in ("gap", "gap-growth") for metric in GAP_METRICS}
    names |= {f"{after}-{before}.{metric}" for after, before in DIFFERENCES for metric in METRICS}
    names |= {
        f"{policy}{scope}.{metric}"
        for policy in ("", *(f"{policy}." for policy in POLICIES))
        for scope, metrics in (
            ("replay", REPLAY_METRICS),
            (REPEATS, REPEAT_METRICS),
            (ASSESSMENT, ASSESSMENT_METRICS),
        )
        for metric in metrics
    }
    names |= {GRADER_PREFIX + name for name in grader_metric_names()}
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
    if name in metric_names():
        return name
    scope = frozenset(
        known for known in metric_names() if known.startswith(GRADER_PREFIX) == name.startswith(GRADER_PREFIX)
    )
    raise ValueError(f"no report has a metric {name!r}; {suggestion(name, scope)}")


def is_difference(name: str) -> bool:
    """Whether the metric is a difference of policies or graders."""
    return name.startswith(_DIFFERENCE_PREFIXES)


def has_one_sided_bounds(name: str) -> bool:
    """Whether the report gives one-sided bounds of a metric: of differences, and of the agreement with people."""
    return is_difference(name) or name == f"{CALIBRATION_PREFIX}kappa"


def value_range(name: str) -> tuple[float, float] | None:
    """Return the least and the largest value that a metric of policies can have; None if it has no bounds."""
    if name.startswith((GRADER_PREFIX, CALIBRATION_PREFIX)) or name.rsplit(".", 1)[-1] in UNBOUNDED:
        return None
    return (-1.0, 1.0) if is_difference(name) else (0.0, 1.0)


def _fold(name: str) -> str:
    return name.casefold().replace("_", "-")
