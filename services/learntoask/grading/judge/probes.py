"""Measure a judge on questions with known answers, and on the same questions in another form.

| probe | the target of the question | a good judge |
|---|---|---|
| right | the fields that it asks for, and what else was still needed | finds that it asks for something needed |
| wrong | fields that it does not ask for | finds that it does not |
| position | `right` and `wrong` in turn, with the fields listed in reverse order | gives the same fields and marks |
| length | `right` and `wrong` in turn, after what experts say besides | gives the same fields and marks |

A judge that always gives the same grade agrees with half of all `right` and `wrong` probes, so its κ is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from learntoask.core.json_lines import read_records
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Split
from learntoask.grading.agreement import cluster_bootstrap, same_fields, share
from learntoask.grading.examples import asking_turns
from learntoask.grading.grades import Grade, GradeCase, Grader, MissingGrade
from learntoask.grading.questions import draw_of
from learntoask.statistics.kappa import kappa

_CONSTANT = 0.98  # share of one mark from which a judge counts as always giving it


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An expert's question with two targets: one that it asks for, and one that it does not."""

    right: GradeCase
    wrong: GradeCase
    asked: frozenset[str]


def read_probes(labelled: Path, pack: Pack, *, split: Split, at_most: int) -> list[Probe]:
    """Return at most `at_most` probes from the sessions of `split`, in an order that depends on session ids alone."""
    found: list[tuple[float, Probe]] = []
    for session in read_records(labelled, LabelledSession):
        if session.session.split != split:
            continue
        every = pack.task(session.session.task).field_names
        for sample, example in asking_turns(session, pack):
            needed = every & {item.field for item in sample.remaining}
            others = needed - example.asked or every - example.asked
            if others:  # otherwise no target is wrong
                right = replace(
                    GradeCase.of_sample(session, sample, example.text), target=needed | example.asked
                )
                probe = Probe(right=right, wrong=replace(right, target=others), asked=example.asked)
                found.append((draw_of(example.session_id), probe))
    found.sort(key=lambda drawn: drawn[0])
    return [probe for _, probe in found[:at_most]]


def lengthen(case: GradeCase, filler: str) -> GradeCase:
    """Put `filler`, which asks nothing, before the response."""
    return replace(case, response=f"{filler} {case.response}")


def hit_figures(
    probes: Sequence[Probe], grades: Sequence[Grade | MissingGrade], *, seed: int = 0
) -> dict[str, JsonValue]:
    """Return how well `grades` (of all `right` probes, then of all `wrong` ones) tell the two apart."""
    rights, wrongs = grades[: len(probes)], grades[len(probes) :]
    counts: dict[str, NDArray[np.float64]] = {}
    for probe, right, wrong in zip(probes, rights, wrongs, strict=True):
        row = counts.setdefault(probe.right.session_id, np.zeros(4))
        if isinstance(right, Grade):
            row[0 if right.content > 0 else 2] += 1
        if isinstance(wrong, Grade):
            row[1 if wrong.content > 0 else 3] += 1
    table = np.array(list(counts.values())).reshape(-1, 4)
    marks = Counter(f"{grade.content:g}" for grade in grades if isinstance(grade, Grade))
    given = sum(marks.values())
    commonest, times = marks.most_common(1)[0] if marks else ("", 0)
    return {
        **cluster_bootstrap(
            table, lambda summed: {"kappa": kappa(summed.reshape(*summed.shape[:-1], 2, 2))}, seed=seed
        ),
        "right_found": share([grade.content > 0 for grade in rights if isinstance(grade, Grade)]),
        "wrong_found": share([grade.content > 0 for grade in wrongs if isinstance(grade, Grade)]),
        "missing": share([isinstance(grade, MissingGrade) for grade in grades]),
        "contents": dict(sorted(marks.items())),
        "always": commonest if given and times >= _CONSTANT * given else None,
    }


def bias_figures(
    before: Sequence[Grade | MissingGrade], after: Sequence[Grade | MissingGrade]
) -> dict[str, JsonValue]:
    """Return what another form of the same questions changes.

    The figures are the shares of questions with equal fields and equal marks, and the mean change of the content.
    """
    pairs = [
        (old, new)
        for old, new in zip(before, after, strict=True)
        if isinstance(old, Grade) and isinstance(new, Grade)
    ]
    return {
        "same_asked": share(same_fields(before, after)),
        "same_content": share([old.content == new.content for old, new in pairs]),
        "same_format": share([old.format == new.format for old, new in pairs]),
        "content_change": round(fmean(new.content - old.content for old, new in pairs), 4) if pairs else None,
    }


def run_probes(
    grader: Grader, probes: Sequence[Probe], *, filler: str, reversed_grader: Grader | None = None
) -> tuple[list[Grade | MissingGrade], dict[str, JsonValue]]:
    """Grade all probes, and return the grades of `right` and the figures of all.

    `reversed_grader` is the same grader with the fields in reverse order, if it reads a list of fields. Without a
    `filler` there is no probe of length.
    """
    cases = [*(probe.right for probe in probes), *(probe.wrong for probe in probes)]
    grades = grader.grade(cases)
    figures = hit_figures(probes, grades)
    # Right and wrong probes in turn, because a bias may raise marks or lower them.
    chosen = [number + number % 2 * len(probes) for number in range(len(probes))]
    before, again = [grades[place] for place in chosen], [cases[place] for place in chosen]
    if reversed_grader is not None:
        figures["position"] = bias_figures(before, reversed_grader.grade(again))
    if filler:
        figures["length"] = bias_figures(before, grader.grade([lengthen(case, filler) for case in again]))
    return grades[: len(probes)], figures


def explain(figures: dict[str, JsonValue]) -> Iterable[str]:
    """Yield what is wrong with a judge, the worst first."""
    if figures["always"] is not None:
        yield f"it always gives content {figures['always']}, whatever is needed"
    right, wrong = figures["right_found"], figures["wrong_found"]
    assert isinstance(right, dict)
    assert isinstance(wrong, dict)
    yield (
        f"it finds something needed in {_percent(right)} of the questions that ask for it and in {_percent(wrong)} of "
        "those that do not"
    )


def _percent(figure: dict[str, JsonValue]) -> str:
    value = figure["value"]
    return "none" if value is None else f"{value:.0%}"
