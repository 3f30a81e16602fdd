"""The judge's rubric, revised: bullets from a small library, and rewrites by another model.

Bullets are cheap and say nothing about the logs. A rewrite is proposed by a model that is neither the judge nor the
labeller, from `show` answers on which the judge differs from people. Candidates are compared on `search` answers; the
best one is tested on the anchor by the stage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from learntoask.calibration.agreement import Judgement, pairs_with
from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import Finding, grade_case
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.calibration.revise.guards import faults_of
from learntoask.core.digest import digest_of
from learntoask.core.manifest import Budget, Endpoint, LlmJudge
from learntoask.core.pack import Pack
from learntoask.core.prompt import ChatMessage
from learntoask.core.records import Session
from learntoask.core.stages.contract import StageContext
from learntoask.grading.grades import Grade
from learntoask.grading.judge.judge import Judge
from learntoask.llm.client import LlmClient
from learntoask.llm.journal import ReplyJournal
from learntoask.llm.spending import Spending
from learntoask.llm.structured_output import Form, ModelReply
from learntoask.statistics.kappa import kappa

WHERE = "spec.calibrate.proposer"
BULLETS = (
    "A message that repeats or confirms what is known already asks for nothing.",
    "A message can ask for several fields at once; list each of them.",
    "A request counts as asking, with or without a question mark.",
    "Small talk, thanks and offers of further help ask for none of the fields.",
    "List a field only if its value would answer the message, not because the message mentions it.",
    "If a message names possible values of a field to choose from, it asks for that field.",
)
_LEAST_GAIN = 0.01  # of κ on `search` answers
_MOST_SHOWN = 20  # errors that the proposer reads


@dataclass(frozen=True)
class RevisedPrompt:
    """A revised rubric, with what was done and the digests of the items that caused it."""

    pack: Pack
    what: str
    because: tuple[str, ...]
    finds: Judgement  # of the judge with the revised rubric, on all items that were given


@dataclass(frozen=True)
class _Case:
    """What the judge is asked about."""

    answered: Sequence[Answered]
    findings: Mapping[TurnKey, Finding]
    sessions: Mapping[str, Session]


def with_rubric(pack: Pack, prompt: str) -> Pack:
    """Return the pack with another rubric of the judge."""
    return pack.model_copy(update={"prompts": pack.prompts.model_copy(update={"judge": prompt})})


def revise_rubric(
    context: StageContext,
    settings: LlmJudge,
    *,
    pack: Pack,
    show: Sequence[Answered],
    search: Sequence[Answered],
    anchor: Sequence[Answered],
    findings: Mapping[TurnKey, Finding],
    sessions: Mapping[str, Session],
    proposer: Endpoint | None,
) -> RevisedPrompt | None:
    """Return the rubric with the highest κ on `search`, or None if no candidate gains .01 of κ.

    All answered items are of kind `asks_for`. Raises StageError when no further request can succeed.
    """
    if not search:
        return None
    case = _Case(search, findings, sessions)
    before = _kappa(context, settings, pack, case)
    rubric, chosen = pack.prompts.judge, list[str]()
    best = before
    for bullet in BULLETS:
        tried = f"{rubric}\n- {bullet}"
        found = _kappa(context, settings, with_rubric(pack, tried), case)
        if found >= best + _LEAST_GAIN:
            rubric, best, chosen = tried, found, [*chosen, bullet]
    what = f"rubric of the judge: {len(chosen)} bullets ({' '.join(chosen)})"
    because = tuple(sorted(one.digest for one in search))
    if proposer is not None:
        wrong = [*_wrong(context, settings, with_rubric(pack, rubric), _Case(show, findings, sessions))]
        proposal = _propose(context, proposer, rubric, wrong, findings)
        if proposal is not None:
            found = _kappa(context, settings, with_rubric(pack, proposal), case)
            if found >= best + _LEAST_GAIN:
                rubric, best = proposal, found
                what = f"rubric of the judge: rewritten by {proposer.model}"
                because = tuple(sorted(one.digest for one, _ in wrong))
    if best < before + _LEAST_GAIN:
        return None
    revised = with_rubric(pack, rubric)
    everything = _Case([*show, *search, *anchor], findings, sessions)
    return RevisedPrompt(revised, what, because, _judged(context, settings, revised, everything).get)


def _judged(
    context: StageContext, settings: LlmJudge, pack: Pack, case: _Case
) -> dict[TurnKey, frozenset[str]]:
    keys = dict.fromkeys((one.item.origin.session_id, one.item.origin.turn) for one in case.answered)
    known = [key for key in keys if key in case.findings]
    journal = context.work / f"rubric-{digest_of(pack.prompts.judge)[:16]}.jsonl"
    judge = Judge(settings, pack, journal=journal)
    try:
        grades = judge.grade([grade_case(case.findings[key], case.sessions[key[0]]) for key in known])
    finally:
        judge.close()
    return {key: grade.asked for key, grade in zip(known, grades, strict=True) if isinstance(grade, Grade)}


def _kappa(context: StageContext, settings: LlmJudge, pack: Pack, case: _Case) -> float:
    tables = pairs_with(case.answered, _judged(context, settings, pack, case).get).tables()
    return float(kappa(tables.sum(axis=0)))


def _wrong(
    context: StageContext, settings: LlmJudge, pack: Pack, case: _Case
) -> Iterator[tuple[Answered, frozenset[str]]]:
    """Yield the answered items on which the judge differs from people, with what it found."""
    found = _judged(context, settings, pack, case)
    for one in case.answered:
        asked = found.get((one.item.origin.session_id, one.item.origin.turn))
        if asked is not None and one.chosen is not None and asked != one.chosen:
            yield one, asked


class Rewrite(Form):
    """A rewritten rubric. The reason comes first, as in a verdict."""

    reason: str
    rubric: str


def _propose(
    context: StageContext,
    endpoint: Endpoint,
    rubric: str,
    wrong: Sequence[tuple[Answered, frozenset[str]]],
    findings: Mapping[TurnKey, Finding],
) -> str | None:
    """Return a rubric that the proposer writes and that the guards accept, or None."""
    shown = [
        (findings[one.item.origin.session_id, one.item.origin.turn].text, one, asked)
        for one, asked in wrong[:_MOST_SHOWN]
    ]
    if not shown:
        return None
    lines = [
        f"Message: {text}\nThe judge found: {_names(asked)}\nPeople found: {_names(one.chosen or frozenset())}"
        for text, one, asked in shown
    ]
    messages: list[ChatMessage] = [
        {"role": "system", "content": _TASK},
        {"role": "user", "content": f"The rubric:\n\n{rubric}\n\nWhere it failed:\n\n" + "\n\n".join(lines)},
    ]
    answer = asyncio.run(_ask(context, endpoint, messages))
    if answer is None or any(faults_of(answer.rubric, rubric, [text for text, _, _ in shown])):
        return None
    return answer.rubric


_TASK = """\
You improve the rubric of a judge that decides which fields of information a message asks for. Write a rubric that \
would have avoided the errors below and stays right elsewhere. State rules, never the examples or their words. Keep \
every template variable and tag ({{ … }}, {% … %}) exactly as it is, and add at most half of its length. \
Answer with one JSON object: "reason", one sentence, and "rubric", the whole new rubric."""


async def _ask(context: StageContext, endpoint: Endpoint, messages: Sequence[ChatMessage]) -> Rewrite | None:
    client = LlmClient(
        endpoint,
        spending=Spending(Budget(), where=WHERE),
        where=WHERE,
        journal=ReplyJournal(context.work / "proposals.jsonl"),
    )
    try:
        outcome = await client.complete(messages, form=Rewrite, max_tokens=max(endpoint.max_tokens, 2048))
    finally:
        await client.close()
    return outcome.parsed if isinstance(outcome, ModelReply) else None


def _names(fields: frozenset[str]) -> str:
    return ", ".join(sorted(fields)) or "none"
