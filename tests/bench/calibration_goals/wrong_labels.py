"""Goal 4: 20 % of the training labels are wrong; people's answers find most of them, and lose few right ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.manifest import Corruption
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.pack import load_pack
from learntoask.core.records import LabelledSession
from learntoask.labeling.corruption import corrupt

from calibration_goals import policy
from calibration_goals.domains import Domain
from calibration_goals.gold import Gold
from calibration_goals.pipeline import ROOT, Pipeline, pharmacy_files, sgd_files, sgd_pack
from calibration_goals.rows import Options, Row

_Label = tuple[str, frozenset[str]]


@dataclass(frozen=True)
class Cleaned:
    """What became of the wrong and of the right labels of the training sessions."""

    wrong: int
    found: int  # wrong labels that were purged or corrected
    put_right: int  # of these, corrected to the true label
    right: int
    lost: int  # right labels that were purged or made wrong
    recovered: int  # true labels that the noise had removed and that are there again

    @property
    def found_share(self) -> float:
        return self.found / self.wrong if self.wrong else 1.0

    @property
    def lost_share(self) -> float:
        return self.lost / self.right if self.right else 0.0


def labels_of(sessions: Iterable[LabelledSession]) -> dict[tuple[str, int], _Label]:
    """Return the labels of training sessions by session and turn."""
    return {
        (one.session.session_id, sample.turn): (
            sample.decision,
            frozenset(item.field for item in sample.remaining),
        )
        for one in sessions
        if one.session.split == "train"
        for sample in one.samples
    }


def gold_labels(sessions: Iterable[LabelledSession], gold: Gold) -> dict[tuple[str, int], _Label]:
    """Return the labels of training sessions' turns by the gold data, by session and turn."""
    found: dict[tuple[str, int], _Label] = {}
    for one in sessions:
        truth = gold[one.session.session_id]
        for turn, where in enumerate(one.session.turns):
            goal = truth.goals.get(where.start, frozenset())
            found[one.session.session_id, turn] = (
                ("stop", frozenset()) if where.start == truth.stop else ("continue", goal)
            )
    return found


def compare(
    published: dict[tuple[str, int], _Label],
    noisy: dict[tuple[str, int], _Label],
    after: dict[tuple[str, int], _Label],
    true: dict[tuple[str, int], _Label],
) -> Cleaned:
    """Compare the labels after calibration with the published ones before the noise and with the true ones.

    Wrong are the labels that the noise changed, right those that it did not and that the gold data confirm. The
    labeller's own errors count as neither.
    """
    wrong = {key for key, label in noisy.items() if published.get(key) != label}
    right = {key for key in set(noisy) - wrong if true.get(key) == noisy[key]}
    return Cleaned(
        wrong=len(wrong),
        found=sum(after.get(key) != noisy[key] for key in wrong),
        put_right=sum(key in after and after[key] == true.get(key) for key in wrong),
        right=len(right),
        lost=sum(after.get(key) != noisy[key] for key in right),
        recovered=sum(after.get(key) == label for key, label in published.items() if key not in noisy),
    )


_BUDGET = 148  # so that second answers stay within 150
_NOISE = 0.2


def run(domains: Sequence[Domain], options: Options) -> Iterator[Row]:
    """Yield the shares of wrong labels found and of right labels lost, for each error rate, and without any answer.

    What comes back of the policy's loss is measured with trainings, if the options ask for them.
    """
    for domain in domains:
        files, gold = sgd_files() if domain.name == "SGD" else pharmacy_files()
        pack = sgd_pack() if domain.name == "SGD" else load_pack(ROOT / "examples/pharmacy/pack.yaml")
        with tempfile.TemporaryDirectory() as folder:
            pipeline = Pipeline(
                Path(folder),
                pack,
                files,
                method="annotated" if domain.name == "SGD" else "lexicon",
                encoder=options.encoder,
                calibrate=Calibrate(budget=_BUDGET, revise=()),
                corrupt=Corruption(label_noise=_NOISE, seed=options.seed),
            )
            pipeline.run("prepare", "label", "grader", "draw")
            before = pipeline.labelled("label")
            noisy = labels_of(corrupt(before, settings=pipeline.corrupt, pack=pack))
            for error in options.errors:
                answers = pipeline.answer(gold, errors=error, seed=options.seed)
                pipeline.run("calibrate")
                after = labels_of(pipeline.labelled("calibrate"))
                found = compare(labels_of(before), noisy, after, gold_labels(before, gold))
                yield from _rows(domain.name, found, error, answers)
        if domain.name == "pharmacy":
            yield policy.row(options)


def _rows(data: str, found: Cleaned, error: float, answers: int) -> Iterator[Row]:
    after = f"reviewers' error rate {error:.0%}, {answers} answers"
    yield Row(
        goal=4,
        data=data,
        what=f"wrong labels purged or corrected, {after}",
        reached=f"{found.found_share:.1%} of {found.wrong} (put right: {found.put_right})",
        required="≥ 70 %",
        held=found.found_share >= 0.7 and answers <= 150 if not error else None,
    )
    yield Row(
        goal=4,
        data=data,
        what=f"right labels lost, {after}",
        reached=f"{found.lost_share:.1%} of {found.right}",
        required="≤ 5 %",
        held=found.lost_share <= 0.05 if not error else None,
    )
