"""Text that many sessions share is no likeness, and copies of one session stay together."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from learntoask.labeling.logs.duplicates import SignatureFile, clusters, signature
from learntoask.labeling.logs.shared_text import without_shared_text

DISCLAIMER = " ".join(
    f"Clause {number}: your messages may be kept for {number + 3} days and read by our staff."
    for number in range(25)
)
MENU = "Choose: " + ", ".join(f"{number} for department {number}" for number in range(30))
Sessions = list[list[str]]


def words(chance: random.Random, count: int) -> str:
    return " ".join("".join(chance.choices("abcdefghijklmnoprstuvw", k=8)) for _ in range(count))


def chat(seed: int) -> list[str]:
    chance = random.Random(seed)
    return [
        f"my {words(chance, 3)} is broken",
        "What kind of bike is it?",
        f"a {words(chance, 2)}",
        "Which day suits you?",
        f"{words(chance, 1)} at {chance.randrange(24)}",
        "I booked you in.",
    ]


def greeting(seed: int) -> list[str]:
    return [f"Welcome. {DISCLAIMER}", *chat(seed)]


def greeting_by_name(seed: int) -> list[str]:
    return [f"Welcome, {words(random.Random(-seed), 1)}! {DISCLAIMER}", *chat(seed)]


def signature_below(seed: int) -> list[str]:
    return [*chat(seed), f"Kind regards, your workshop. {DISCLAIMER}"]


def menu_and_one_of_three_greetings(seed: int) -> list[str]:
    return [f"Branch {seed % 3}. {DISCLAIMER}", MENU, str(seed % 7), *chat(seed)]


def grouped(folder: Path, sessions: Sessions) -> tuple[list[int], dict[int, str]]:
    with SignatureFile(folder / "signatures.bin") as file:
        for session in sessions:
            file.append(signature(session))
        first = clusters(file, threshold=0.8)
    found = without_shared_text(
        first,
        lambda wanted: ((index, sessions[index]) for index in range(len(sessions)) if wanted[index]),
        threshold=0.8,
        signatures=folder / "rest.bin",
    )
    return found.groups.tolist(), found.shared


@pytest.mark.parametrize(
    "make", [greeting, greeting_by_name, signature_below, menu_and_one_of_three_greetings]
)
def test_different_sessions_with_shared_text_are_not_alike(
    tmp_path: Path, make: Callable[[int], list[str]]
) -> None:
    groups, _ = grouped(tmp_path, [make(seed) for seed in range(120)])
    assert groups == list(range(120))
    assert list(tmp_path.iterdir()) == []


def test_copies_among_sessions_with_shared_text_stay_together(tmp_path: Path) -> None:
    sessions = [greeting(seed) for seed in range(60)]
    near = [[text.replace("I booked", "We booked") for text in greeting(seed)] for seed in range(20)]
    groups, _ = grouped(tmp_path, sessions + near)
    assert groups == [*range(60), *range(20)]


def test_a_mass_of_copies_stays_one_cluster_and_names_what_it_shares(tmp_path: Path) -> None:
    copied = chat(1)
    copies = [[*copied[:4], f"Friday at {number}", *copied[5:]] for number in range(40)]
    groups, shared = grouped(tmp_path, [chat(seed) for seed in range(100, 130)] + copies)
    assert Counter(groups)[30] == 40
    assert groups[:30] == list(range(30))
    assert "is broken what kind of bike is it?" in shared[30]
