"""Render suggest.html: one file without scripts or external references, so that it works offline.

The template engine escapes all text of the logs. A content security policy also forbids scripts.
"""

from __future__ import annotations

from importlib import resources

from markupsafe import Markup, escape

from learntoask.evaluation.report.html import load_template, stylesheet
from learntoask.induction.suggestion import Confidence, SuggestedField, Suggestion
from learntoask.labeling.logs.patterns import any_of

_WORDS: dict[Confidence, str] = {
    "high": "found again in sessions that its patterns were not made from",
    "medium": "found again, but from few questions or with gaps",
    "low": "from few questions: check it, or remove it",
}


def suggestion_page(found: Suggestion, *, name: str) -> str:
    """Return the HTML document."""
    uses: dict[str, list[str]] = {field.name: [] for field in found.fields}
    for task in found.tasks:
        for use in task.fields:
            uses[use.field.name].append(task.name)
    matched = found.questions - found.not_covered.total
    return load_template(__package__, "suggest.html.j2", marked=_marked, percent=_percent).render(
        found=found,
        name=name,
        uses=uses,
        several=len(found.tasks) > 1,
        style=stylesheet()
        + Markup(resources.files(__package__).joinpath("suggest.css").read_text(encoding="utf-8")),
        confidence=_WORDS,
        covered=matched / found.questions if found.questions else 0.0,
        unsure=[field for field in found.fields if field.evidence.confidence == "low"],
        ended=sum(count for _, count in found.ends.markers),
    )


def _marked(question: str, field: SuggestedField) -> Markup:
    """Return the question with the first match of the field's patterns marked."""
    match = next(
        (match for pattern in field.patterns if (match := any_of((pattern.expression,))(question))), None
    )
    if match is None or match.string != question:
        return escape(question)
    start, end = match.span()
    return (
        escape(question[:start])
        + Markup("<mark>")
        + escape(question[start:end])
        + Markup("</mark>")
        + escape(question[end:])
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}".replace("%", " %")
