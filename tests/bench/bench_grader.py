"""Measure the model-free grader on SGD: agreement with the annotations, and questions graded per second.

    python tests/bench/bench_grader.py [--threads 1] [--encoders minilm hashing] [--questions 100]

Agreement is measured on the 335 expert questions of the test sessions, for the two graders of a run (each fitted on
half of the logs) and for a grader fitted on all logs. A grader never uses the session that it grades. Columns: `any`
is the share of questions for which it names at least one annotated field; in `of all` a missing grade counts as a
miss; in `forced` only the most likely field counts; `unseen` is restricted to services that do not occur in training.
Throughput is measured for one call with new questions, for the same call again, and for one call per question, in CPU
seconds of this process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import torch
from learntoask.core.manifest import Dataset, Label
from learntoask.core.pack import Pack, load_pack
from learntoask.core.stages.contract import StageContext
from learntoask.grading.agreement import GradedQuestion, agreement
from learntoask.grading.encoders.caching import CachingEncoder, load_encoder
from learntoask.grading.examples import Example
from learntoask.grading.fields.classifiers import Kind
from learntoask.grading.fields.fitting import fit_grader
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.fluency import fluency_guard
from learntoask.grading.grades import GradeCase
from learntoask.grading.nonquestions import non_questions
from learntoask.grading.questions import Questions, SessionQuestions, read_questions
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LTA_DATA", ROOT.parent / "shared/data")) / "sgd"
OPENERS = ("So", "And", "Then", "Now", "Well", "Right")


class Quiet:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


def questions_of(pack: Pack) -> Questions:
    spec = SimpleNamespace(dataset=Dataset(uri="train.jsonl"), label=Label(method="annotated"))
    with tempfile.TemporaryDirectory() as folder:
        inputs: dict[str, Path] = {}
        for name, run in (("prepare", prepare.run), ("label", label.run)):
            out, work = Path(folder, name), Path(folder, f"{name}-work")
            out.mkdir()
            work.mkdir()
            files = {"dataset": DATA / "train.jsonl", "test": DATA / "test.jsonl"}
            run(
                StageContext(
                    stage=name,
                    key=name,
                    spec=spec,
                    pack=pack,
                    inputs=inputs,
                    files=files,
                    out=out,
                    work=work,
                    progress=Quiet(),
                )
            )
            inputs = {**inputs, name: out}
        return read_questions(inputs["label"] / "labelled.jsonl", pack)


def fit(
    sessions: Sequence[SessionQuestions], *, pack: Pack, kind: Kind, encoder: CachingEncoder
) -> FieldGrader:
    asked = [example for session in sessions for example in session.asked]
    idle = [example for session in sessions for example in session.idle]
    grader, _ = fit_grader(
        asked, idle, pack=pack, kind=kind, encoder=encoder, step=lambda done, total, what: None
    )
    return grader


def agreement_row(grader: FieldGrader, questions: Questions, pack: Pack) -> str:
    asked = [example for session in questions.evaluation_sessions() for example in session.asked]
    cases = [example.case() for example in asked]
    judged = [
        GradedQuestion(
            session_id=example.session_id,
            seen=pack.task(example.task).group_name in questions.seen_groups,
            fields=pack.task(example.task).field_names,
            gold=example.asked,
            grade=grade,
        )
        for example, grade in zip(asked, grader.grade(cases), strict=True)
    ]
    found = agreement(judged)
    return " ".join(
        [
            *(f"{found[name]['value']:8.3f}" for name in ("any_hit", "any_hit_of_all")),
            f"{forced(grader, asked):8.3f}",
            f"{found['kappa']['value']:8.3f}",
            f"{found['unseen']['any_hit']['value']:8.3f}",
            f"{found['unseen']['kappa']['value']:8.3f}",
            f"{found['missing']['value']:8.3f}",
            f"  [{found['any_hit']['low']:.3f}, {found['any_hit']['high']:.3f}]",
            f"[{found['kappa']['low']:.3f}, {found['kappa']['high']:.3f}]",
        ]
    )


def forced(grader: FieldGrader, asked: Sequence[Example]) -> float:
    found = grader.estimates([(example.session_id, example.task, example.text) for example in asked])
    likeliest = [
        max(finding.probabilities, key=lambda name: finding.probabilities[name]) for finding in found
    ]
    return sum(name in example.asked for name, example in zip(likeliest, asked, strict=True)) / len(asked)


def throughput(grader: FieldGrader, questions: Questions, count: int) -> list[tuple[str, float]]:
    """Return CPU seconds per 100 questions. New questions are logged questions after another opening word."""
    asked = [example for session in questions.sessions for example in session.asked]
    new = [
        GradeCase(
            session_id=example.session_id,
            task=example.task,
            response=f"{OPENERS[number % len(OPENERS)]} {example.text} ",
            target=example.asked,
        )
        for number, example in enumerate(asked[-2 * count :])
    ]
    rows = []
    for name, cases, step in (
        ("new, one call", new[:count], count),
        ("again, one call", new[:count], count),
        ("new, a call each", new[count:], 1),
    ):
        start = time.process_time()
        for first in range(0, len(cases), step):
            grader.grade(cases[first : first + step])
        rows.append((name, (time.process_time() - start) * 100 / len(cases)))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--encoders", nargs="+", default=["minilm", "hashing"])
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--pack", type=Path, default=ROOT / "examples/sgd/pack.yaml")
    options = parser.parse_args()
    if not (DATA / "test.jsonl").exists() or not options.pack.exists():
        print(
            f"needs {DATA} (set LTA_DATA) and {options.pack} (python examples/sgd/make_pack.py)",
            file=sys.stderr,
        )
        return 2
    torch.set_num_threads(options.threads)
    pack = load_pack(options.pack)
    questions = questions_of(pack)
    first, second = questions.halves()
    print(
        f"{'encoder':8} {'grader':22}      any   of all   forced        κ   unseen unseen κ  missing  intervals: any, κ"
    )
    for name in options.encoders:
        encoder = CachingEncoder(load_encoder(name))
        fits: list[tuple[str, Sequence[SessionQuestions], Kind]] = [
            ("rewarding (half)", first, "linear"),
            ("reporting (half)", second, "trees"),
            ("linear, all logs", questions.sessions, "linear"),
            ("trees, all logs", questions.sessions, "trees"),
        ]
        graders = {}
        for role, sessions, kind in fits:
            graders[role] = fit(sessions, pack=pack, kind=kind, encoder=encoder)
            print(f"{name:8} {role:22} {agreement_row(graders[role], questions, pack)}", flush=True)
        rows = throughput(graders["rewarding (half)"], questions, options.questions)
        for what, seconds in rows:
            print(
                f"{name:8} {what:22} {seconds:8.3f} s per 100, {rows[0][1] / seconds:6.1f} × the first row",
                flush=True,
            )
    is_question = fluency_guard(pack)
    asked = [example.text for session in questions.sessions for example in session.asked]
    made = [text for _, text in non_questions(pack)]
    print(f"guard    expert questions kept  {sum(map(is_question, asked)) / len(asked):8.4f} of {len(asked)}")
    print(
        f"guard    non-questions refused  {1 - sum(map(is_question, made)) / len(made):8.4f} of {len(made)}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
