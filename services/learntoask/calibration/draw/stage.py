"""Stage `draw`: choose what people are asked, and publish items.jsonl and the findings that the choice is based on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from learntoask.calibration.draw.findings import GRADERS, Finding, Requests, find_all, write_findings
from learntoask.calibration.draw.items import Items
from learntoask.calibration.draw.plan import Drawer, Plan, is_reserve
from learntoask.calibration.draw.repeated import repeat_judgements
from learntoask.calibration.labels.doubts import Doubt, find_doubts
from learntoask.calibration.labels.evidence import Evidence, asked_chances, implied_labels
from learntoask.calibration.labels.sessions import LabelledLog, read_labelled
from learntoask.core.digest import digest_of
from learntoask.core.errors import StageError
from learntoask.core.json_lines import write_records
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.grading.encoders.caching import CachingEncoder, load_encoder
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.loader import LoadedGrader, open_published_grader
from learntoask.review.records import ITEMS_FILE, ReviewItem


def run(context: StageContext) -> StageSummary:
    """Publish items.jsonl (`ReviewItem`) and findings.jsonl (`Finding`).

    Raises StageError when there is no session to ask about, or no further request to a model can succeed.
    """
    settings = calibrate_settings(context)
    logs = read_labelled(
        context.inputs["label"],
        context.inputs["prepare"],
        pack=context.pack,
        faults=context.spec.dataset.corrupt,
    )
    measured, trained = divide(logs, seed=settings.seed)
    if not measured or not trained:
        raise StageError(
            f"people can be asked about {len(logs)} sessions, which is too few to keep some of them for measuring; use "
            "more logs, or leave out spec.calibrate",
            reason="NothingToAsk",
        )
    findings = _findings(context, logs)
    ids = {log.session_id for log in trained}
    of_training = [finding for finding in findings if finding.session_id in ids]
    asked, _ = asked_chances(of_training, {}, pack=context.pack)
    doubts = all_doubts(trained, Evidence.of(of_training, asked, {}))
    plan = Plan.of(settings)
    items = Items(
        context.pack, run=context.pack.name, output=_content(context.inputs["prepare"] / "sessions.jsonl")
    )
    drawer = Drawer(context.pack, items, settings.seed)
    anchor = drawer.anchor(
        measured, [one for one in findings if one.session_id not in ids], plan.anchor, plan.reserve
    )
    first = [item for item in anchor if not is_reserve(item)]
    training = drawer.training(trained, of_training, doubts, plan.train)
    about = {(item.origin.session_id, item.origin.turn) for item in training}
    known = drawer.known(trained, of_training, about, plan.known)
    drawn = _ordered([*anchor, *training, *known], settings.seed)
    write_records(context.out / ITEMS_FILE, drawn)
    write_findings(context.out, findings)
    return {
        "items": len(drawn),
        "reserve": len(anchor) - len(first),
        "answers_wanted": len(drawn) - len(anchor) + round((1 + settings.overlap_share) * len(first)),
        "by_split": dict(Counter(item.split for item in drawn)),
        "by_kind": dict(Counter(item.kind for item in drawn)),
        "by_stratum": dict(Counter(item.stratum for item in drawn)),
        "anchor_sessions": len({item.origin.session_id for item in first}),
        "turns": len(findings),
        "doubted_questions": sum(one.doubtful for one in of_training),
        "questions_without_a_field": sum(one.unnamed for one in of_training),
        "doubted_labels": dict(Counter(doubt.bin for doubt in doubts)),
    }


def calibrate_settings(context: StageContext) -> Calibrate:
    """Return `spec.calibrate`, or the defaults where a manifest without it asks for the stage."""
    found = getattr(context.spec, "calibrate", None)
    return found if isinstance(found, Calibrate) else Calibrate()


def divide(logs: Sequence[LabelledLog], *, seed: int) -> tuple[list[LabelledLog], list[LabelledLog]]:
    """Return the sessions that are measured on, and those whose labels people may correct.

    The first are those of the evaluation split (test, or else validation). If all sessions are in one split, half of
    them are kept for measuring, by their ids.
    """
    usable = [log for log in logs if log.log.turns]
    splits = {log.log.split for log in usable}
    if len(splits) > 1:
        split = next(name for name in ("test", "validation", "train") if name in splits)
        chosen = {log.session_id for log in usable if log.log.split == split}
    else:
        chosen = {
            log.session_id for log in usable if int(digest_of([seed, "anchor", log.session_id])[:8], 16) % 2
        }
    return (
        [log for log in usable if log.session_id in chosen],
        [log for log in usable if log.session_id not in chosen],
    )


def all_doubts(logs: Sequence[LabelledLog], evidence: Evidence) -> list[Doubt]:
    """Return the doubts about the labels of all sessions."""
    return [
        doubt for log in logs for doubt in find_doubts(log, implied_labels(log, evidence), evidence.doubted)
    ]


def _findings(context: StageContext, logs: Sequence[LabelledLog]) -> list[Finding]:
    requests = Requests(context.pack, context.spec.label, context.spec.dataset.corrupt)
    with _graders(context) as graders:
        share_vectors(graders, context.work / "embeddings")
        found = find_all(
            logs,
            requests=requests,
            pack=context.pack,
            graders=graders,
            report=lambda done, total: context.progress.update(done, total, "reading questions"),
        )
    return repeat_judgements(context, logs, found)


@contextmanager
def _graders(context: StageContext) -> Iterator[dict[str, LoadedGrader]]:
    with ExitStack() as opened:
        yield {
            role: opened.enter_context(
                open_published_grader(
                    context.inputs["grader"] / role,
                    context.pack,
                    judge=context.spec.grader.llm,
                    journal=context.work / f"{role}.jsonl",
                )
            )
            for role in GRADERS
        }


def share_vectors(graders: Mapping[str, LoadedGrader], journal: Path) -> None:
    """Let the model-free graders share their vectors and those of a killed attempt, so each text is encoded once."""
    fitted = [grader for grader in graders.values() if isinstance(grader, FieldGrader)]
    if not fitted:
        return
    shared = CachingEncoder(load_encoder(fitted[0].encoder.name), journal=journal)
    for grader in fitted:
        texts = [example.text for example in grader.fitted.examples]
        shared.add(texts, grader.encoder.encode(texts))
        grader.use_encoder(shared)


def _ordered(items: Sequence[ReviewItem], seed: int) -> list[ReviewItem]:
    """Return the items in a seeded order of sessions, anchor and others mixed, with the reserve last.

    The queue breaks ties by this order.
    """
    return sorted(
        {item.digest: item for item in items}.values(),
        key=lambda item: (
            is_reserve(item),
            digest_of([seed, "order", item.origin.session_id]),
            item.origin.turn,
            item.kind,
        ),
    )


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
