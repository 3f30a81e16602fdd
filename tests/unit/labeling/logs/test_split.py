"""Near-duplicates are found and get one split; splits have the right sizes and do not depend on the order of lines."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.labeling.logs.duplicates import PERMUTATIONS, SignatureFile, clusters, signature
from learntoask.labeling.logs.session_index import first_indices, id_digest
from learntoask.labeling.logs.split import TEST, TRAIN, VALIDATION, split_sessions

WORDS = [
    f"{start}{end}"
    for start in ("ka", "lo", "mi", "nu", "re", "so", "tu")
    for end in ("ba", "den", "gif", "hol")
]


def talk(seed: int, length: int = 60) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=length // 4)) for _ in range(4)]


def cluster(path: Path, sessions: list[list[str]], threshold: float = 0.8) -> list[int]:
    with SignatureFile(path / "signatures.bin") as file:
        for session in sessions:
            file.append(signature(session))
        return clusters(file, threshold=threshold).tolist()


def jaccard(one: list[str], other: list[str]) -> float:
    texts = [" ".join(" ".join(session).lower().split()).encode() for session in (one, other)]
    left, right = ({text[i : i + 8] for i in range(len(text) - 7)} for text in texts)
    return len(left & right) / len(left | right)


def changed(session: list[str], words: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    flat = " | ".join(session).split(" ")
    for index in chance.sample(range(len(flat)), words):
        flat[index] = f"x{chance.randrange(1000)}"
    return " ".join(flat).split(" | ")


@pytest.mark.parametrize("words", [0, 2, 5, 15, 40])
def test_equal_entries_estimate_the_similarity(words: int) -> None:
    estimates, truths = [], []
    for seed in range(40):
        one, other = talk(seed), changed(talk(seed), words, seed)
        estimates.append((signature(one) == signature(other)).mean())
        truths.append(jaccard(one, other))
    # The mean of 40 estimates of standard error .09 (at most) and .014 itself, within 3.5 of these.
    assert abs(np.mean(estimates) - np.mean(truths)) < 0.05


def test_case_white_space_and_long_sessions() -> None:
    assert (signature(["Hello  there,", "how ARE you"]) == signature(["hello there,\n how are", "you"])).all()
    long_one = talk(1, 30_000)  # more shingles than one chunk
    assert (signature(long_one) == signature([" ".join(long_one)])).all()
    assert signature(["a"]).shape == (PERMUTATIONS,)


def test_copies_and_small_changes_cluster_and_others_do_not(tmp_path: Path) -> None:
    distinct = [talk(seed) for seed in range(60)]
    near = [changed(talk(seed), 1, seed) for seed in range(20)]
    copies = [talk(seed) for seed in range(40, 60)]
    assert cluster(tmp_path, distinct + near + copies) == [*range(60), *range(20), *range(40, 60)]


def test_clusters_are_transitive_and_survive_masses_of_copies(tmp_path: Path) -> None:
    chain = [talk(1)]
    for step in range(6):
        chain.append(changed(chain[-1], 1, step))
    assert set(cluster(tmp_path, chain)) == {0}
    masses = [talk(index % 3) for index in range(3000)]
    assert cluster(tmp_path, masses) == [index % 3 for index in range(3000)]
    assert cluster(tmp_path, []) == []


SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=40)


@settings(deadline=None)
@given(sizes=SIZES, validation=st.floats(0, 0.4), test=st.floats(0, 0.5), seed=st.integers(0, 2**31 - 1))
def test_split_keeps_clusters_whole_and_sides_in_size(
    sizes: list[int], validation: float, test: float, seed: int
) -> None:
    groups = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    ids = np.array([id_digest(f"s{i}")[0] for i in range(len(groups))], dtype=np.uint64)
    sides = split_sessions(groups, ids, validation_share=validation, test_share=test, seed=seed)
    for group in range(len(sizes)):
        assert len(set(sides[groups == group].tolist())) == 1
    assert (sides == TRAIN).any()
    for side, share in ((TEST, test), (VALIDATION, validation)):
        wanted = max(round(share * len(groups)), 1) if share else 0
        count = int((sides == side).sum())
        assert count <= max(wanted, min(sizes) if not wanted else max(sizes))
        if not share:
            assert count == 0
    if len(sizes) >= 3 and test and validation:
        assert (sides == TEST).any()
        assert (sides == VALIDATION).any()
    order = np.random.default_rng(seed).permutation(len(groups))
    again = split_sessions(groups[order], ids[order], validation_share=validation, test_share=test, seed=seed)
    assert (again == sides[order]).all()


def test_split_is_exact_for_single_sessions_and_seeded() -> None:
    groups = np.arange(200, dtype=np.int32)
    ids = np.array([id_digest(f"s{i}")[0] for i in range(200)], dtype=np.uint64)
    one, same, other = (
        split_sessions(groups, ids, validation_share=0.1, test_share=0.2, seed=seed) for seed in (1, 1, 2)
    )
    assert np.bincount(one).tolist() == [140, 20, 40]
    assert (one == same).all()
    assert (one != other).any()


def test_a_log_that_grows_moves_few_sessions() -> None:
    ids = np.array([id_digest(f"s{i}")[0] for i in range(440)], dtype=np.uint64)
    before = split_sessions(
        np.arange(400, dtype=np.int32), ids[:400], validation_share=0.0, test_share=0.2, seed=3
    )
    after = split_sessions(np.arange(440, dtype=np.int32), ids, validation_share=0.0, test_share=0.2, seed=3)
    assert (before != after[:400]).mean() < 0.05  # a fresh draw would move about a third


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcde"), max_size=30))
def test_first_occurrences(names: list[str]) -> None:
    digests = np.array([id_digest(name) for name in names], dtype=np.uint64).reshape(-1, 2)
    assert first_indices(digests[:, 0], digests[:, 1]).tolist() == [names.index(name) for name in names]
