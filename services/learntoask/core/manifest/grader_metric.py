"""The figures of the graders that the stage `grader` writes to agreement.json, as names of metrics below `grader.`.

FIGURE                                   the reporting grader on held-out questions of experts
rewarding.FIGURE, reporting.FIGURE       either grader; with `seen.` or `unseen.` before FIGURE the tasks of a group,
                                         with `new_wording.` the questions that it was not fitted on word for word
rewarding.probes.…, reporting.probes.…   a judge (grader.method: llm) on questions with known answers
rewarding.asked.…, reporting.asked.…     what the judge was asked
same_findings, refused.…, experts.refused, unsure.…, measured_on.…, fits.…
"""

from __future__ import annotations

from functools import lru_cache

ROLES = ("rewarding", "reporting")
GROUPS = ("seen", "unseen", "new_wording")
HEADLINE = ("any_hit", "any_hit_of_all", "pair_agreement", "kappa", "missing")
FIGURES = (*HEADLINE, "exact", "refused", "known_wording")
COUNTS = ("questions", "sessions", "pairs")
PROBES = ("kappa", "right_found", "wrong_found", "missing")
FORMS = ("position", "length")
FORM_FIGURES = ("same_asked", "same_content", "same_format", "content_change")
ASKED = (
    "requests",
    "answers",
    "answers_resumed",
    "retries",
    "prompt_tokens",
    "cached_prompt_tokens",
    "completion_tokens",
    "cost",
)
FITS = ("sessions", "questions", "idle_questions")
SHARES = ("same_findings", "refused.made", "refused.user_messages", "experts.refused")
UNSURE = tuple(f"unsure.{role}.no_grade" for role in ROLES)
MEASURED_ON = ("measured_on.sessions", "measured_on.questions")


@lru_cache(maxsize=1)
def grader_metric_names() -> frozenset[str]:
    """Return the paths of all figures that agreement.json can hold."""
    names = {*HEADLINE, *SHARES, *UNSURE, *MEASURED_ON}
    for role in ROLES:
        names |= {
            f"{role}.{group}{figure}"
            for group in ("", *(f"{group}." for group in GROUPS))
            for figure in (*FIGURES, *COUNTS)
        }
        names |= {f"{role}.probes.{figure}" for figure in PROBES}
        names |= {f"{role}.probes.{form}.{figure}" for form in FORMS for figure in FORM_FIGURES}
        names |= {f"{role}.asked.{figure}" for figure in ASKED}
        names |= {f"fits.{role}.{figure}" for figure in FITS}
    return frozenset(names)


def needs_judge(name: str) -> str | None:
    """Return the role of the judge that alone has the figure `name` (below `grader.`); None if every run has it."""
    role, _, rest = name.partition(".")
    return role if role in ROLES and rest.startswith(("probes.", "asked.")) else None
