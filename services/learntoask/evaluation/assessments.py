"""Compare the policy's assessments with the micro-goals, where the expert went on asking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learntoask.evaluation.decisions import DecisionRecord
from learntoask.evaluation.report_schema import Metrics
from learntoask.statistics.bootstrap import Floats, mean_estimates


def assessment_metrics(decisions: Sequence[DecisionRecord], *, resamples: int, seed: int) -> Metrics:
    """Compute precision, recall and F1 over all named fields, and the share of malformed answers.

    A stop names no field, and neither counts what a malformed answer names. The result is empty for a policy that was
    not trained to assess.
    """
    if not any(decision.malformed or decision.assessment is not None for decision in decisions):
        return {}
    rows = {session: row for row, session in enumerate(sorted({one.session for one in decisions}))}
    right, named, needed, malformed, answers = (np.zeros(len(rows)) for _ in range(5))
    for decision in decisions:
        if decision.truth == "stop":
            continue
        row = rows[decision.session]
        fields = set() if decision.malformed else set(decision.assessment or ())
        right[row] += len(fields.intersection(decision.target))
        named[row] += len(fields)
        needed[row] += len(decision.target)
        malformed[row] += decision.malformed
        answers[row] += 1
    columns: dict[str, tuple[Floats, Floats]] = {
        "precision": (right, named),
        "recall": (right, needed),
        "F1": (2 * right, named + needed),
        "malformed": (malformed, answers),
    }
    return mean_estimates(columns, resamples=resamples, seed=seed)
