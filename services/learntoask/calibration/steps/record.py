"""The record of the stage calibrate: what people say of labels and graders, and what was done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import yaml
from pydantic import JsonValue
from pydantic.alias_generators import to_camel

from learntoask.calibration.agreement import Judgement, between_people, figures, pairs_with
from learntoask.calibration.draw.findings import LABELLER
from learntoask.calibration.draw.plan import is_reserve
from learntoask.calibration.labels.corrections import Corrections
from learntoask.calibration.steps.work import Work, stops_of
from learntoask.core.digest import digest_of

REVISED_FILE = "revised.yaml"


def agreement_of(work: Work, judges: Mapping[str, Judgement]) -> dict[str, JsonValue]:
    """Return the agreement of each judge with people on the anchor, by kind of item."""
    asks, stops = work.review.of("anchor", kind="asks_for"), work.review.of("anchor", kind="is_stop")
    return {
        "asks_for": {name: figures(pairs_with(asks, judge)) for name, judge in judges.items()},
        "is_stop": {LABELLER: figures(pairs_with(stops, stops_of(work.logs)))},
    }


def record_of(
    work: Work, before: dict[str, JsonValue], after: dict[str, JsonValue], corrections: Corrections
) -> dict[str, JsonValue]:
    """Return calibration.json without the gate. `before` and `after` are the agreement before and after the stage."""
    review, settings = work.review, work.settings
    anchored = review.of("anchor")
    counts: dict[str, JsonValue] = {
        "given": review.answers,
        "used": len(anchored) + len(work.to_learn),
        "cannot_say": review.cannot_say,
        "unknown_items": review.unknown,
        "carried": len(work.carried),
        "anchor": len(anchored),
        "wanted": settings.budget,
        "reserve": sum(is_reserve(item) and item.kind == "asks_for" for item in review.items.values()),
    }
    return {
        "agreement": {"before": before, "after": after},
        "people": {
            "between": between_people(anchored),
            "attention": {name: list(found) for name, found in sorted(review.attention.items())},
            "repeated": {name: list(found) for name, found in sorted(review.repeated.items())},
        },
        "answers": counts,
        "looks": work.anchor.looks(),
        "revisions": list(work.anchor.tried),
        "labels": corrections.record(),
        "edits": [asdict(edit) | {"because": list(edit.because)} for edit in work.edits],
        "digests": {
            "answers": review.digest,
            "items": digest_of([*sorted(review.items)]),
            "revised_pack": digest_of(work.pack.model_dump(mode="json", by_alias=True)),
        },
    }


def write_revised(work: Work, folder: Path) -> None:
    """Write the parts of the pack that changed into `folder` as YAML, in the pack's own form, if there are any."""
    changed = {(edit.task, edit.field) for edit in work.edits}
    tasks = []
    for task in work.pack.tasks:
        fields = [
            {"name": one.name, "patterns": list(one.patterns), "questions": list(one.questions)}
            for one in task.fields
            if (task.name, one.name) in changed
        ]
        if fields:
            tasks.append({"name": task.name, "fields": fields})
    changes: dict[str, object] = {"tasks": tasks} if tasks else {}
    if work.prompts:
        changes["prompts"] = {to_camel(name): text for name, text in work.prompts.items()}
    if changes:
        text = yaml.safe_dump(changes, sort_keys=False, allow_unicode=True, width=110)
        (folder / REVISED_FILE).write_text(text, encoding="utf-8")
