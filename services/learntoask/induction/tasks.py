"""Find the key of the logs that names the task of a session, or groups of sessions in logs without such a key.

A key names the task if its values tell which fields are asked for. That is measured by the mutual information between
the value and, for each field, whether it is asked for in the session, less what as many values would tell by chance
(Miller-Madow), as a share of the entropy of the fields.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from learntoask.grading.encoders.encoder import Encoder
from learntoask.induction.reading.metadata import Values, scalars
from learntoask.labeling.logs.parsing import LogSession

LEAST_SHARE = 0.3  # of the entropy, from which a key names the task
_GAIN = 0.03  # in the share by which a second key must improve the first
_FEW_PER_VALUE = 5  # sessions
MOST_GROUPED = 2_000  # sessions that are clustered in logs without a key
_SAME_TASK = 0.55  # distance between two groups
_FIELDS_WEIGHT = 0.4  # of the fields asked for, against the user's first messages

Asked = NDArray[np.bool_]
"""[sessions, fields]: whether the expert asks for the field."""


@dataclass(frozen=True)
class TaskKeys:
    """The paths that name the task, each session's task (None if it names none), and the share of the entropy told."""

    paths: tuple[str, ...]
    values: Values
    share: float


def find_task_keys(candidates: Mapping[str, Values], asked: Asked) -> TaskKeys | None:
    """Return the key, or two keys together, whose values tell most about the fields asked for. None if none tells."""
    ranked = sorted(
        ((told_share(values, asked), path) for path, values in candidates.items()),
        key=lambda entry: (-round(entry[0], 3), _length(candidates[entry[1]]), entry[1]),
    )
    if not ranked or ranked[0][0] < LEAST_SHARE:
        return None
    share, path = ranked[0]
    best = TaskKeys((path,), candidates[path], share)
    for _, second in ranked[1:]:
        pair = tuple(
            f"{first}/{other}" if first is not None and other is not None else first or other
            for first, other in zip(candidates[path], candidates[second], strict=True)
        )
        if len(set(pair)) * _FEW_PER_VALUE > len(pair):
            continue
        told = told_share(pair, asked)
        if told >= best.share + _GAIN:
            best = TaskKeys((path, second), pair, told)
    return best


def task_keys(sessions: Sequence[LogSession], paths: Sequence[str], asked: Asked) -> TaskKeys | None:
    """Return the tasks that the sessions name at these paths. None if no session names one."""
    written = [scalars(session) for session in sessions]
    values = tuple("/".join(found[path] for path in paths if path in found) or None for found in written)
    return TaskKeys(tuple(paths), values, told_share(values, asked)) if any(values) else None


def told_share(values: Values, asked: Asked) -> float:
    """Return the share, up to 1, of the entropy of the fields that the values tell, corrected for chance."""
    codes = {value: code for code, value in enumerate(sorted({str(value) for value in values}))}
    of = np.array([codes[str(value)] for value in values])
    sizes = np.bincount(of, minlength=len(codes)).astype(float)
    told = entropy = 0.0
    for column in asked.T:
        positive = np.bincount(of, weights=column, minlength=len(codes))
        whole = float(_entropy(np.array([column.mean()]))[0])
        inside = float((sizes / len(of)) @ _entropy(positive / sizes))
        bias = (len(codes) - 1) / (2 * len(of)) if 0 < column.sum() < len(of) else 0.0
        told += whole - inside - bias
        entropy += whole
    return told / entropy if entropy else 0.0


def group_sessions(openings: Sequence[str], asked: Asked, encoder: Encoder) -> NDArray[np.int64]:
    """Cluster sessions by the user's first messages and the fields asked for; return the group of each, from 0."""
    if len(openings) < 2:
        return np.zeros(len(openings), dtype=np.int64)
    vectors = encoder.encode([text[:300] for text in openings]).astype(np.float64)
    informed = asked.astype(np.float64) * np.sqrt(np.log((1 + len(asked)) / (1 + asked.sum(axis=0))))
    lengths = np.linalg.norm(informed, axis=1, keepdims=True)
    fields = informed / np.where(lengths > 0, lengths, 1)
    alike = (vectors @ vectors.T + _FIELDS_WEIGHT * fields @ fields.T) / (1 + _FIELDS_WEIGHT)
    tree = linkage(np.maximum(0, 1 - alike)[np.triu_indices(len(openings), 1)], "average")
    labels = fcluster(tree, _SAME_TASK, "distance")
    by_size = [label for label, _ in Counter(labels.tolist()).most_common()]
    order = {
        label: rank
        for rank, label in enumerate(sorted(by_size, key=lambda one: (-np.sum(labels == one), one)))
    }
    return np.array([order[label] for label in labels.tolist()], dtype=np.int64)


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy in nats of yes/no variables with these shares of yes."""
    inner = np.clip(shares, 1e-12, 1 - 1e-12)
    found: NDArray[np.float64] = -(inner * np.log(inner) + (1 - inner) * np.log(1 - inner))
    return found


def _length(values: Values) -> int:
    return sum(len(value) for value in set(values) if value is not None)
