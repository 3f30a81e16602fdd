"""Goal 1 with the stages' own draw, weights and gate, at the default budget."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from learntoask.calibration.anchor import Anchor
from learntoask.calibration.answers import collect
from learntoask.calibration.draw.findings import FINDINGS_FILE, GRADERS, LABELLER, Finding
from learntoask.calibration.draw.items import Items
from learntoask.calibration.draw.plan import Drawer, Plan, is_reserve
from learntoask.calibration.draw.stage import divide
from learntoask.calibration.labels.sessions import LabelledLog, read_labelled
from learntoask.calibration.steps.work import judges_of
from learntoask.calibration.weights import weighted
from learntoask.core.json_lines import read_records
from learntoask.core.manifest import Corruption
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.pack import Pack, load_pack
from learntoask.review.records import ReviewItem

from calibration_goals.domains import Domain, Question, true_kappa, with_kappa
from calibration_goals.gold import Gold
from calibration_goals.people import answer_all
from calibration_goals.pipeline import ROOT, Pipeline, pharmacy_files, sgd_files, sgd_pack
from calibration_goals.rows import Options, Row

POWER = 0.95
MOST_FALSE = 0.05
GOOD, BAD = 0.8, 0.59
_JUDGES = (LABELLER, *GRADERS)


@dataclass(frozen=True)
class _Case:
    """The sessions that are measured on, with what the judges find in their turns."""

    pack: Pack
    logs: Sequence[LabelledLog]
    findings: Sequence[Finding]
    gold: Gold

    def questions(self, judge: str) -> list[Question]:
        starts = {log.session_id: [turn.start for turn in log.log.turns] for log in self.logs}
        return [
            Question(
                session_id=one.session_id,
                task=one.task,
                choices=self.pack.task(one.task).field_names,
                gold=self.gold[one.session_id].asks.get(starts[one.session_id][one.turn], frozenset()),
                machine=frozenset(one.asks.get(judge, ())),
                second=frozenset(),
            )
            for one in self.findings
        ]

    def at(self, kappa: float, *, only_worse: bool, seed: int) -> tuple[list[Finding], dict[str, float]]:
        """Return the findings with every judge at this κ, or only those that are worse, and the κ of each."""
        found, truth = list(self.findings), {}
        for place, judge in enumerate(_JUDGES):
            questions = self.questions(judge)
            if not only_worse or true_kappa(questions) < kappa:
                questions = with_kappa(questions, kappa, np.random.default_rng([seed, place]))
            truth[judge] = true_kappa(questions)
            found = [
                one.with_asks(judge, question.machine) for one, question in zip(found, questions, strict=True)
            ]
        return found, truth


def run(domains: Sequence[Domain], options: Options) -> Iterator[Row]:
    """Yield how often the stage's gate passes at the default budget, with judges of κ .8 at least and of κ .59."""
    for domain in domains:
        with tempfile.TemporaryDirectory() as folder:
            case = _case(domain.name, Path(folder), options)
        draws = max(20, options.repetitions // 5)
        for kappa in (GOOD, BAD):
            findings, truth = case.at(kappa, only_worse=kappa == GOOD, seed=options.seed)
            drawn = [_draw(case, findings, Calibrate(seed=number)) for number in range(draws)]
            for error in options.errors:
                yield _row(domain.name, case, findings, truth, drawn, error, good=kappa == GOOD)


def _case(name: str, folder: Path, options: Options) -> _Case:
    files, gold = sgd_files() if name == "SGD" else pharmacy_files()
    pack = sgd_pack() if name == "SGD" else load_pack(ROOT / "examples/pharmacy/pack.yaml")
    pipeline = Pipeline(
        folder,
        pack,
        files,
        method="annotated" if name == "SGD" else "lexicon",
        encoder=options.encoder,
    )
    pipeline.run("prepare", "label", "grader", "draw")
    logs = read_labelled(folder / "label", folder / "prepare", pack=pack, faults=Corruption())
    measured, _ = divide(logs, seed=0)
    ids = {log.session_id for log in measured}
    findings = [
        one for one in read_records(folder / "draw" / FINDINGS_FILE, Finding) if one.session_id in ids
    ]
    return _Case(pack, measured, findings, gold)


def _draw(case: _Case, findings: Sequence[Finding], settings: Calibrate) -> list[ReviewItem]:
    plan = Plan.of(settings)
    drawer = Drawer(case.pack, Items(case.pack, run="bench", output=""), settings.seed)
    items = drawer.anchor(case.logs, findings, plan.anchor, plan.reserve)
    return [item for item in items if not is_reserve(item)]


def _row(
    data: str,
    case: _Case,
    findings: Sequence[Finding],
    truth: Mapping[str, float],
    drawn: Sequence[list[ReviewItem]],
    error: float,
    *,
    good: bool,
) -> Row:
    judges = judges_of({(one.session_id, one.turn): one for one in findings})
    passed: dict[str, int] = dict.fromkeys(_JUDGES, 0)
    all_passed = 0
    for seed, items in enumerate(drawn):
        review = weighted(collect(items, answer_all(items, case.gold, errors=error, seed=seed)), findings)
        gate = Anchor(Calibrate(), review).gate(judges.items())
        for judge in _JUDGES:
            passed[judge] += gate["judges"][judge]["verdict"] == "passed"
        all_passed += gate["verdict"] == "passed"
    shares = {judge: passed[judge] / len(drawn) for judge in _JUDGES}
    least, most = min(shares.values()), max(shares.values())
    kappas = "/".join(f"{truth[judge]:.2f}" for judge in _JUDGES)
    what = f"the stage's own draw, budget {Calibrate().budget}, κ {kappas}, reviewers wrong {error:.0%}"
    if not good:
        return Row(
            goal=1,
            data=data,
            what=f"{what}: a judge passes",
            reached=f"{most:.1%} at most, all three {all_passed / len(drawn):.1%}, of {len(drawn)}",
            required=f"≤ {MOST_FALSE:.0%}",
            held=most <= MOST_FALSE,
        )
    required = error <= 0.05
    return Row(
        goal=1,
        data=data,
        what=f"{what}: a judge passes",
        reached=f"{least:.1%} at least, all three {all_passed / len(drawn):.1%}, of {len(drawn)}",
        required=f"≥ {POWER:.0%}" if required else "",
        held=least >= POWER if required else None,
    )
