"""Warnings about valid logs that will train a poor policy, and why a file holds no session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learntoask.core.languages.pack_phrases import PHRASES, language_of
from learntoask.core.pack import Pack
from learntoask.labeling.check.counts import Counts
from learntoask.labeling.check.report import FieldCoverage

ENOUGH = 20  # sessions of a task from which a field that no expert asks for is worth a warning
FEWEST_SESSIONS = 4  # that the stage grader fits two graders on
MOST_NAMED = 10  # of the annotated items that the pack does not list, the commonest
NO_SESSION = "no line is a session"


def why_no_session(first_line: bytes) -> str:
    """Return why a file holds no session, as its first line with text shows; "" if that does not tell."""
    if not first_line:
        return f"{NO_SESSION}, because the file is empty"
    if first_line.startswith(b"["):
        return (
            f"{NO_SESSION}, because the file is one JSON list: jq -c '.[]' FILE writes its entries on lines"
        )
    if first_line == b"{":
        return f"{NO_SESSION}, because the objects span several lines: jq -c . FILE writes each on one"
    return ""


def language_warning(pack: Pack) -> Iterator[str]:
    """Yield a warning where neither the pack nor the project knows phrases of its language."""
    if language_of(pack) in PHRASES or pack.fluency.questions:
        return
    yield (
        f"no phrases of language {pack.language!r} are known, so a request without a question mark is a question only "
        f"where the labels teach it: give one of the codes {', '.join(sorted(PHRASES))}, or fluency.questions, "
        "fluency.refusals and nonAnswers in the pack"
    )


def label_warnings(counts: Counts, coverage: Sequence[FieldCoverage]) -> Iterator[str]:
    """Yield what will train a poor policy, by the counts of a whole log."""
    labels = counts.labels
    if not counts.tasks:
        yield why_no_session(counts.first_line) or NO_SESSION
        return
    if counts.tasks.total() < FEWEST_SESSIONS:
        yield (
            f"a run needs {FEWEST_SESSIONS} sessions or more for its graders and splits, and these are "
            f"{counts.tasks.total()}"
        )
    if not labels.decisions["stop"]:
        yield "no session holds a stop: check endMarkers, actionPatterns and requireEndMarker of the pack"
    if not labels.decisions["continue"] and not counts.asked:
        yield "no decision point has anything left to ask: check that the pack's fields and patterns fit these logs"
    if counts.several_stops:
        yield f"{counts.several_stops} sessions hold several end markers; the first one counts and ends the session"
    if labels.unknown_items:
        named = ", ".join(f"{name} ({count})" for name, count in labels.unknown_items.most_common(MOST_NAMED))
        yield (
            f"{labels.unknown_items.total()} annotated items are not in the pack ({named}): add them as fields, or set "
            "label.unknownItems: ignore to leave them out"
        )
    if labels.unnamed_questions > labels.questions / 2:
        yield (
            f"{labels.unnamed_questions} of {labels.questions} questions match no pattern of the pack, so "
            "`lexicon` misses them"
        )
    unanswered = [
        f"{entry.task}: {entry.field}"
        for entry in coverage
        if entry.asked and (not labels.decisions["continue"] or (not entry.given and entry.asked >= ENOUGH))
    ]
    if unanswered:
        more = f" and {len(unanswered) - 5} more" if len(unanswered) > 5 else ""
        yield (
            f"experts ask for {', '.join(unanswered[:5])}{more}, but no answer of a user counts, so nothing is learned "
            "from these questions: check that nonAnswers of the pack matches no answer, and that answerPatterns of "
            "these fields match them"
        )
    never = [
        f"{entry.task}: {entry.field}" for entry in coverage if not entry.asked and entry.sessions >= ENOUGH
    ]
    if never:
        more = f" and {len(never) - 5} more" if len(never) > 5 else ""
        yield f"no expert ever asks for {', '.join(never[:5])}{more}"
