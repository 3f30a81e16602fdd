"""The bound of what answers can reach: suggestions whose questions are grouped by the truth, and not by their likeness.

A turn's truth does not say which of its questions asks for what. A question that is alone in its turn asks for all
items of the turn. One of several questions asks for that item of the turn which the questions of its group, made
without the truth, ask for most often where they ask for one item.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
from learntoask.induction import from_logs
from learntoask.induction import suggest as steps
from learntoask.induction.fields.clusters import FEWEST_QUESTIONS, Clustering
from learntoask.induction.fields.questions import Question
from learntoask.induction.reading.sessions import ReadSessions
from learntoask.induction.suggestion import Suggestion
from learntoask.labeling.logs.parsing import LogSession

from .domains import Domain


@contextmanager
def grouped_by_truth(domain: Domain) -> Iterator[None]:
    """Let suggestions about the domain group questions by the items that they ask for."""
    by_likeness = steps.cluster_questions

    def suggest(read: ReadSessions, *others: Any, **settings: Any) -> Suggestion:
        def by_truth(questions: Sequence[Question], *others: Any, **settings: Any) -> Clustering:
            items = [_items(domain, read.sessions[one.session], one.message) for one in questions]
            return _grouped(by_likeness(questions, *others, **settings), questions, items)

        with mock.patch.object(steps, "cluster_questions", by_truth):
            return steps.suggest(read, *others, **settings)

    with mock.patch.object(from_logs, "suggest", suggest):
        yield


def _items(domain: Domain, session: LogSession, message: int) -> frozenset[str]:
    """Return what the turn of a message asks for."""
    while message > 0 and session.messages[message - 1].role == session.messages[message].role:
        message -= 1
    return domain.truths[session.session_id].asks.get(message, frozenset())


def _grouped(found: Clustering, questions: Sequence[Question], items: Sequence[frozenset[str]]) -> Clustering:
    group_of = {index: number for number, cluster in enumerate(found.clusters) for index in cluster}
    counts: dict[int | None, Counter[str]] = defaultdict(Counter)
    for index, asked in enumerate(items):
        if len(asked) == 1:
            counts[group_of.get(index)].update(asked)
    groups: dict[str, list[int]] = defaultdict(list)
    for index, (question, asked) in enumerate(zip(questions, items, strict=True)):
        seen = counts[group_of.get(index)]
        likeliest = max(asked, key=lambda item: (seen[item], item), default="")
        one_of_several = not question.alone and bool(seen[likeliest])
        for item in [likeliest] if asked and one_of_several else asked:
            groups[item].append(index)
    clusters = sorted(map(tuple, groups.values()), key=lambda cluster: (-len(cluster), cluster))
    size = sum(len(cluster) >= FEWEST_QUESTIONS for cluster in clusters)
    width = len(next(iter(found.vectors.values())))
    rare = {one.plain: np.zeros(width, np.float32) for one in questions if one.plain not in found.vectors}
    return replace(
        found,
        clusters=tuple(clusters),
        vectors={**found.vectors, **rare},
        margins=np.zeros((size, size)),
        doubtful=(),
    )
