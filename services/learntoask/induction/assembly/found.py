"""What the steps found so far, and pass on to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.induction.fields.clusters import Clustering
from learntoask.induction.fields.questions import AskedQuestions
from learntoask.labeling.logs.parsing import LogSession

DEFAULT = "default"  # the task of sessions that name none
LEAST_SHARE = 0.01  # of the sessions in which a field is asked for


@dataclass(frozen=True)
class Found:
    """What the steps found so far, and pass on to each other."""

    sessions: Sequence[LogSession]
    asked: AskedQuestions
    clustering: Clustering
    kept: tuple[int, ...]  # clusters with enough support, as indices into the clustering
    left_out: frozenset[int]  # clusters whose questions find out nothing, as people say
