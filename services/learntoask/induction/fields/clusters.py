"""Group questions that ask for the same field.

Questions with nearly the same text form a wording (average linkage), and wordings that ask for the same field are then
merged (merging.py). What people say about two questions changes what it is about and nothing else.

The constants were chosen on the training sessions of SGD and STAR and on the pharmacy example, those of `hashing` on
its English, Japanese and Arabic logs (tests/bench/bench_pack_induction.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from learntoask.grading.encoders.encoder import Encoder, EncoderName
from learntoask.induction.fields.merging import Merge, Wordings
from learntoask.induction.fields.questions import Question

FEWEST_QUESTIONS = 5  # of a field
MOST_TEXTS = 6_000  # different questions that are clustered, the most frequent ones
_REPLY_CHARACTERS = 200


@dataclass(frozen=True)
class Likeness:
    """What counts as alike, on the scale of one encoder."""

    same_wording: float  # cosine distance between questions of one wording, on average
    merge_from: float  # score from which wordings are merged
    like_replies: float  # cosine from which replies speak for one field, and below against


LIKENESS: dict[EncoderName, Likeness] = {
    "minilm": Likeness(same_wording=0.2, merge_from=0.4, like_replies=0.7),
    "hashing": Likeness(same_wording=0.35, merge_from=0.2, like_replies=0.5),
}


SameField = Mapping[tuple[str, str], bool]
"""Whether two questions, by their plain texts, ask for the same field, as people say."""
SeveralFields = Mapping[str, frozenset[str]]
"""Questions that ask for several fields at once, each with questions that ask for one of these, as people say."""


@dataclass(frozen=True)
class Pair:
    """Two groups of questions that were merged, and how much spoke for it, above 0."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    margin: float


@dataclass(frozen=True)
class Clustering:
    """Clusters of questions, as indices into the questions, the largest first; `vectors` are those of the texts.

    A question that asks for several fields is in several clusters. `margins` [n, n] are what speaks for merging each
    two of the first n clusters, those that are large enough for a field. `doubtful` are the merges that were made by a
    small margin.
    """

    clusters: tuple[tuple[int, ...], ...]
    vectors: dict[str, NDArray[np.float32]]
    margins: NDArray[np.float64]
    doubtful: tuple[Pair, ...] = ()


def cluster_questions(
    questions: Sequence[Question],
    encoder: Encoder,
    *,
    sessions: int,
    same: SameField | None = None,
    several: SeveralFields | None = None,
) -> Clustering:
    """Cluster the questions of `sessions` sessions. `same` and `several` are what people say."""
    like = LIKENESS[encoder.name]
    texts = [text for text, _ in by_frequency(Counter(question.plain for question in questions))[:MOST_TEXTS]]
    replies = sorted({_reply(question) for question in questions if _counts(question)})
    vectors = encoder.encode([*texts, *replies]) if texts else np.zeros((0, encoder.dimension), np.float32)
    of_text = dict(zip(texts, vectors, strict=False))
    of_reply = dict(zip(replies, vectors[len(texts) :], strict=True))
    wording_of = dict(zip(texts, _wordings(vectors[: len(texts)], like), strict=True))
    members: dict[int, list[int]] = defaultdict(list)
    for index, question in enumerate(questions):
        if question.plain in wording_of:
            members[wording_of[question.plain]].append(index)
    rows = {key: row for row, key in enumerate(sorted(members))}
    wordings = [members[key] for key in rows]
    merges = _sums(wordings, questions, of_text, of_reply, sessions).merge_all(
        merge_from=like.merge_from, like_replies=like.like_replies
    )
    row_of = {text: rows[wording] for text, wording in wording_of.items()}
    links = {
        (row_of[first], row_of[second]): alike
        for (first, second), alike in (same or {}).items()
        if first in row_of and second in row_of
    }
    doubtful = _pairs(wordings, merges)
    parts = {
        row_of[text]: {row_of[part] for part in one_each if part in row_of}
        for text, one_each in (several or {}).items()
        if text in row_of
    }
    clusters = sorted(_merged(wordings, merges, links, parts), key=lambda cluster: (-len(cluster), cluster))
    large = [cluster for cluster in clusters if len(cluster) >= FEWEST_QUESTIONS]
    margins = _sums(large, questions, of_text, of_reply, sessions).scores(like.like_replies) - like.merge_from
    return Clustering(tuple(map(tuple, clusters)), of_text, margins, tuple(doubtful))


def _pairs(wordings: Sequence[Sequence[int]], merges: Sequence[Merge]) -> Iterator[Pair]:
    """Yield the doubtful merges with the questions of both groups at that time."""
    groups = [tuple(wording) for wording in wordings]
    for merge in merges:
        pair = Pair(groups[merge.first], groups[merge.second], merge.margin)
        if merge.is_doubtful:
            yield pair
        groups[merge.first] = pair.first + pair.second


def _merged(
    wordings: Sequence[Sequence[int]],
    merges: Sequence[Merge],
    links: Mapping[tuple[int, int], bool],
    parts: Mapping[int, Set[int]],
) -> list[list[int]]:
    """Return the clusters after the merges, corrected by what people say of wordings.

    Where two are different, the smaller of the two groups that a merge joined leaves the cluster again. Where two are
    the same, their clusters become one. The cluster of a wording that asks what several others ask, its `parts`, goes
    into each of theirs.
    """
    apart = [pair for pair, alike in links.items() if not alike]
    cluster_of = list(range(len(wordings)))  # by wording
    leaving: list[list[int]] = []
    for merge in merges:
        groups = [
            [wording for wording, cluster in enumerate(cluster_of) if cluster == side]
            for side in (merge.first, merge.second)
        ]
        joined = {merge.first, merge.second}
        if any({cluster_of[one], cluster_of[other]} == joined for one, other in apart):
            sizes = [sum(len(wordings[wording]) for wording in group) for group in groups]
            leaving.append(groups[sizes.index(min(sizes))])
        for wording in groups[1]:
            cluster_of[wording] = merge.first
    for number, group in enumerate(leaving, start=len(wordings)):
        for wording in group:
            cluster_of[wording] = number
    for one, other in sorted(pair for pair, alike in links.items() if alike):
        first, second = cluster_of[one], cluster_of[other]
        cluster_of = [first if cluster == second else cluster for cluster in cluster_of]
    divided = {
        cluster_of[wording]: sorted({cluster_of[part] for part in of} - {cluster_of[wording]})
        for wording, of in sorted(parts.items())
    }
    clusters: dict[int, list[int]] = defaultdict(list)
    for wording, cluster in enumerate(cluster_of):
        for into in divided.get(cluster) or [cluster]:
            clusters[into] += wordings[wording]
    return [sorted(cluster) for cluster in clusters.values()]


def medoids(
    questions: Sequence[Question], clustering: Clustering, cluster: Sequence[int], *, count: int
) -> list[str]:
    """Return up to `count` different questions of a cluster that are nearest to its centre, the nearest first."""
    if not cluster:
        return []
    centre = np.sum([clustering.vectors[questions[index].plain] for index in cluster], axis=0)
    shown: dict[str, str] = {}
    for index in cluster:
        shown.setdefault(questions[index].plain, questions[index].text)
    frequency = Counter(questions[index].plain for index in cluster)
    nearest = sorted(
        shown,
        key=lambda plain: (-round(float(clustering.vectors[plain] @ centre), 6), -frequency[plain], plain),
    )
    return [shown[plain] for plain in nearest[:count]]


def by_frequency(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the texts with their counts, the commonest first and equally common ones in alphabetical order."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _counts(question: Question) -> bool:
    return question.alone and question.answered


def _reply(question: Question) -> str:
    masked = "".join("0" if character.isdigit() else character for character in question.reply)
    return masked[:_REPLY_CHARACTERS].lower()


def _wordings(vectors: NDArray[np.float32], like: Likeness) -> list[int]:
    """Return the wording of each text by average linkage."""
    if len(vectors) < 2:
        return [0] * len(vectors)
    distances = np.maximum(0.0, 1.0 - vectors @ vectors.T)
    tree = linkage(distances[np.triu_indices(len(vectors), 1)], "average")
    labels: list[int] = fcluster(tree, like.same_wording, "distance").tolist()
    return labels


def _sums(
    wordings: Sequence[Sequence[int]],
    questions: Sequence[Question],
    of_text: dict[str, NDArray[np.float32]],
    of_reply: dict[str, NDArray[np.float32]],
    sessions: int,
) -> Wordings:
    width = len(next(iter(of_text.values()))) if of_text else 0
    state = Wordings(
        texts=np.zeros((len(wordings), width)),
        replies=np.zeros((len(wordings), width)),
        reply_counts=np.zeros(len(wordings)),
        asked=np.zeros((len(wordings), sessions), dtype=np.float32),
        alive=np.ones(len(wordings), dtype=np.bool_),
    )
    for row, members in enumerate(wordings):
        for index in members:
            question = questions[index]
            state.texts[row] += of_text[question.plain]
            if question.answered:
                state.asked[row, question.session] = 1
            if _counts(question):
                state.replies[row] += of_reply[_reply(question)]
                state.reply_counts[row] += 1
    return state
