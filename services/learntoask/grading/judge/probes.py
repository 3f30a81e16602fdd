"""What a judge is worth: questions with known answers, and the same questions put in another way.

| probe | the question is put with | a good judge |
|---|---|---|
| right | what it asks for, and what else was still needed | finds that it asks for something needed |
| wrong | fields that it does not ask for | finds that it does not |
| position | `right` and `wrong` in turn, fields listed the other way round | finds the same, gives the same marks |
| length | `right` and `wrong` in turn, behind a polite sentence that asks nothing | the same |

A judge that always says the same agrees with half of `right` and `wrong` together: its κ is 0.
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
from learntoask.grading.agreement import cluster_bootstrap, kappa, same_fields, share
from learntoask.grading.examples import asking_turns
from learntoask.grading.grades import Grade, GradeCase, Grader, MissingGrade
from learntoask.grading.questions import draw_of

_FILLER = "Thank you so much for your patience, I really appreciate it and I am glad to be of service to you today. "
_CONSTANT = 0.98  # share of one mark from which a judge does not judge


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An expert's question put twice: with a target it meets, and with one it misses."""

    right: GradeCase
    wrong: GradeCase
    asked: frozenset[str]


def read_probes(labelled: Path, pack: Pack, *, split: Split, at_most: int) -> list[Probe]:
    """Questions of the sessions of `split`, whole sessions in an order made of their ids."""
    found: list[tuple[float, Probe]] = []
    for session in read_records(labelled, LabelledSession):
        if session.session.split != split:
            continue
        every = pack.task(session.session.task).field_names
        for sample, example in asking_turns(session, pack):
            needed = every & {item.field for item in sample.remaining}
            others = needed - example.asked or every - example.asked
            if others:  # else nothing could be wrong
                right = replace(
                    GradeCase.of_sample(session, sample, example.text), target=needed | example.asked
                )
                probe = Probe(right=right, wrong=replace(right, target=others), asked=example.asked)
                found.append((draw_of(example.session_id), probe))
    found.sort(key=lambda drawn: drawn[0])
    return [probe for _, probe in found[:at_most]]


def lengthen(case: GradeCase) -> GradeCase:
    return replace(case, response=_FILLER + case.response)


def hit_figures(
    probes: Sequence[Probe], grades: Sequence[Grade | MissingGrade], *, seed: int = 0
) -> dict[str, JsonValue]:
    """How far `grades` (of all `right`, then of all `wrong`) tell one from the other."""
    rights, wrongs = grades[: len(probes)], grades[len(probes) :]
    counts: dict[str, NDArray[np.float64]] = {}
    for probe, right, wrong in zip(probes, rights, wrongs, strict=True):
        row = counts.setdefault(probe.right.session_id, np.zeros(4))
        if isinstance(right, Grade):
            row[0 if right.content > 0 else 2] += 1
        if isinstance(wrong, Grade):
            row[1 if wrong.content > 0 else 3] += 1
    table = np.array(list(counts.values())).reshape(-1, 4)
    marks = Counter(f"{one.content:g}" for one in grades if isinstance(one, Grade))
    given = sum(marks.values())
    commonest, times = marks.most_common(1)[0] if marks else ("", 0)
    return {
        **cluster_bootstrap(table, lambda summed: {"kappa": kappa(summed)}, seed=seed),
        "right_found": share([one.content > 0 for one in rights if isinstance(one, Grade)]),
        "wrong_found": share([one.content > 0 for one in wrongs if isinstance(one, Grade)]),
        "missing": share([isinstance(one, MissingGrade) for one in grades]),
        "contents": dict(sorted(marks.items())),
        "always": commonest if given and times >= _CONSTANT * given else None,
    }


def bias_figures(
    before: Sequence[Grade | MissingGrade], after: Sequence[Grade | MissingGrade]
) -> dict[str, JsonValue]:
    """What another way to put the same questions changes: shares of equal findings and marks, and the mean change of
    the content."""
    pairs = [
        (one, other)
        for one, other in zip(before, after, strict=True)
        if isinstance(one, Grade) and isinstance(other, Grade)
    ]
    return {
        "same_asked": share(same_fields(before, after)),
        "same_content": share([one.content == other.content for one, other in pairs]),
        "same_format": share([one.format == other.format for one, other in pairs]),
        "content_change": round(fmean(other.content - one.content for one, other in pairs), 4)
        if pairs
        else None,
    }


def run_probes(
    grader: Grader, probes: Sequence[Probe], *, pack: Pack, other_way_round: Grader | None = None
) -> tuple[list[Grade | MissingGrade], dict[str, JsonValue]]:
    """The grades of `right`, and what all probes together say. `other_way_round` is the same grader with fields
    listed in reverse, where it reads a list at all."""
    cases = [*(one.right for one in probes), *(one.wrong for one in probes)]
    grades = grader.grade(cases)
    figures = hit_figures(probes, grades)
    # In turns, since a bias may raise marks or lower them.
    chosen = [number + number % 2 * len(probes) for number in range(len(probes))]
    before, again = [grades[place] for place in chosen], [cases[place] for place in chosen]
    if other_way_round is not None:
        figures["position"] = bias_figures(before, other_way_round.grade(again))
    if pack.language.lower().startswith("en"):
        figures["length"] = bias_figures(before, grader.grade([lengthen(case) for case in again]))
    return grades[: len(probes)], figures


def explain(figures: dict[str, JsonValue]) -> Iterable[str]:
    """What is wrong with a judge, in words, from the worst on."""
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
