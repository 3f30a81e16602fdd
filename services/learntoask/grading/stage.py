"""Stage `grader`: publish a rewarding and a reporting grader, fitted on different sessions, and measure both.

The stage publishes `rewarding/`, `reporting/` and `agreement.json`, which says how far each agrees with the labels of
held-out sessions. The rewarding grader is linear and the reporting grader is made of trees, so that the second shows
what a policy learns to exploit in the first. With method `llm`, a language model replaces one of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from learntoask.core.errors import StageError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.grading.agreement import GradedQuestion, agreement, same_fields, share
from learntoask.grading.cues import LearnedCues
from learntoask.grading.encoders.caching import CachingEncoder, EncoderChoice, choose_encoder, load_encoder
from learntoask.grading.examples import Example, pack_questions
from learntoask.grading.fields.classifiers import Kind
from learntoask.grading.fields.features import units_of
from learntoask.grading.fields.fitting import fit_grader
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.fields.storage import write_grader
from learntoask.grading.grades import (
    Grade,
    GradeCase,
    Grader,
    MissingGrade,
    require_answers,
)
from learntoask.grading.guard_check import FAIL_ABOVE, WARN_ABOVE, GuardCheck
from learntoask.grading.judge.stage import measure_judge, publish_judge
from learntoask.grading.known_wordings import KnownWordings
from learntoask.grading.nonquestions import non_questions
from learntoask.grading.questions import Questions, SessionQuestions, read_questions
from learntoask.grading.unsure_check import FEWEST_SESSIONS, UnsureCheck

_KINDS: tuple[tuple[str, Kind], ...] = (("rewarding", "linear"), ("reporting", "trees"))
_SHOWN_CUES = 10
_MOSTLY_KNOWN = 0.5  # share of held-out questions with known wording from which the agreement needs a warning
_HEADLINE = ("any_hit", "any_hit_of_all", "pair_agreement", "kappa", "missing")


@dataclass(frozen=True, kw_only=True)
class PublishedGrader:
    """A fitted grader with its entry under `fits` in agreement.json."""

    grader: FieldGrader
    about: dict[str, JsonValue]


Adjust = Callable[[str, FieldGrader], None]
"""Called with the role and the fitted grader before it is published; it may change the grader's bounds."""


def run(context: StageContext, adjust: Adjust | None = None) -> StageSummary:
    """Fit or publish the graders, and measure them. The stage calibrate adjusts them before.

    Raises StageError when the labels hold too little to fit on, when the fluency guard refuses most of the experts'
    questions, or when a judge grades too badly; TooManyMissing when a grader gives no grade for too many of them.
    """
    pack, settings = context.pack, context.spec.grader
    questions = read_questions(context.inputs["label"] / "labelled.jsonl", pack)
    if len(questions.sessions) < FEWEST_SESSIONS:
        raise StageError(
            f"only {len(questions.sessions)} sessions hold an expert question whose fields are known; two graders need "
            f"{FEWEST_SESSIONS}. Add patterns to the fields of the pack (label.method: lexicon), or use logs whose "
            "annotations say what was asked (label.method: annotated)",
            reason="NothingToFitOn",
        )
    guard = _require_guard(questions, pack)
    choice = choose_encoder(
        settings.encoder, [example.text for session in questions.sessions for example in session.asked]
    )
    encoder = CachingEncoder(load_encoder(choice.name), journal=context.work / "embeddings")
    _encode_questions(questions, context, encoder)
    judge = settings.llm if settings.method == "llm" else None
    plan = _fit_plan(questions, judge)
    made = {
        role: _fit_and_publish(role, kind, part, questions.cues, context, encoder, adjust)
        for role, (kind, part) in plan.items()
    }
    graders = {role: published.grader for role, published in made.items()}
    fits: dict[str, JsonValue] = {role: published.about for role, published in made.items()}
    figures, grades, unsure = measure(
        graders,
        questions,
        pack=pack,
        max_missing_share=settings.max_missing_share,
        wordings={role: KnownWordings(pack, part) for role, (_, part) in plan.items()},
    )
    if judge is None:
        same = share(same_fields(grades["rewarding"], grades["reporting"]))
    else:
        fits[judge.role] = publish_judge(judge, questions.cues, context)
        (other,) = graders.values()
        figures[judge.role], same, unsure[judge.role] = measure_judge(judge, questions, other, context)
    warnings: list[JsonValue] = [*_warnings(guard, choice, unsure.values()), *canned_warnings(figures)]
    reporting = figures["reporting"]
    assert isinstance(reporting, dict)
    record: dict[str, JsonValue] = {
        **{name: reporting[name] for name in _HEADLINE},
        "gold": _gold(questions),
        "measured_on": {
            "split": questions.evaluation_split,
            "sessions": reporting["sessions"],
            "questions": reporting["questions"],
        },
        **{role: figures[role] for role, _ in _KINDS},
        "same_findings": same,
        "refused": _refused_shares(next(iter(graders.values())), questions, pack),
        "experts": guard.figures(),
        "unsure": {role: check.figures() for role, check in unsure.items()},
        **({"cues": _learned(questions.cues)} if questions.cues else {}),
        "warnings": warnings,
        "encoder": {"name": encoder.name, "version": encoder.version},
        "fits": fits,
    }
    (context.out / "agreement.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return {"agreement": record, "warnings": warnings}


def _require_guard(questions: Questions, pack: Pack) -> GuardCheck:
    """Raises StageError when the fluency guard refuses most of the experts' questions."""
    guard = GuardCheck(pack, questions.cues)
    for session in questions.sessions:
        guard.add(session.asked)
    if guard.refused_share > FAIL_ABOVE:
        raise StageError(
            f"{guard}. A policy that asks like the experts would be graded 0. {guard.remedy}",
            reason="GuardRefusesExperts",
        )
    return guard


def _warnings(
    guard: GuardCheck,
    choice: EncoderChoice,
    unsure: Iterable[UnsureCheck],
) -> Iterator[str]:
    """Yield what a person should look at, for the report."""
    if choice.reason:
        yield choice.reason
    if guard.refused_share > WARN_ABOVE:
        yield f"{guard}. {guard.remedy}"
    yield from filter(None, (check.warning() for check in unsure))


def canned_warnings(figures: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield a warning for each grader that knows most held-out questions by their words, with what it finds in others.

    A log of canned replies gives such a grader an agreement that says nothing about other wordings.
    """
    for role, found in figures.items():
        assert isinstance(found, dict)
        others, known = found.get("new_wording"), found["known_wording"]
        assert isinstance(known, dict)
        share_known = known["value"]
        if not isinstance(others, dict) or not isinstance(share_known, float) or share_known <= _MOSTLY_KNOWN:
            continue
        hit = others["any_hit"]
        assert isinstance(hit, dict)
        rest = "there is no other to measure it on"
        if others["questions"]:
            rest = (
                f"on the other {others['questions']} it finds an asked field in {hit['value']} "
                f"[{hit['low']}, {hit['high']}]"
            )
        yield (
            f"{share_known:.0%} of {found['questions']} held-out questions of the experts stand word for word in what "
            f"the {role} grader was fitted on; {rest}"
        )


def _fit_plan(
    questions: Questions, judge: LlmJudge | None
) -> dict[str, tuple[Kind, Sequence[SessionQuestions]]]:
    """Return kind and sessions of each grader to fit. A judge is not fitted, so the other grader gets all sessions."""
    parts = questions.halves() if judge is None else (questions.sessions, questions.sessions)
    return {
        role: (kind, part)
        for (role, kind), part in zip(_KINDS, parts, strict=True)
        if judge is None or role != judge.role
    }


def measure(
    graders: Mapping[str, Grader],
    questions: Questions,
    *,
    pack: Pack,
    max_missing_share: float,
    wordings: Mapping[str, KnownWordings],
) -> tuple[dict[str, JsonValue], dict[str, list[Grade | MissingGrade]], dict[str, UnsureCheck]]:
    """Return each grader's agreement with the labels of held-out questions, its grades of them, and their check.

    `wordings` are those that each grader was fitted on.
    """
    asked = [(session, example) for session in questions.evaluation_sessions() for example in session.asked]
    grades = {
        role: grader.grade([example.case() for _, example in asked]) for role, grader in graders.items()
    }
    figures: dict[str, JsonValue] = {}
    texts = [example.text for _, example in asked]
    checks = {role: UnsureCheck.of(f"{role} grader", found, texts) for role, found in grades.items()}
    for role, found in grades.items():
        require_answers(
            found,
            texts,
            max_missing_share=max_missing_share,
            where=f"{role} grader, expert questions",
        )
        checks[role].require()
        figures[role] = agreement(
            [
                _graded_question(session, example, grade, questions, pack, wordings[role])
                for (session, example), grade in zip(asked, found, strict=True)
            ]
        )
    return figures, grades, checks


def _fit_and_publish(
    role: str,
    kind: Kind,
    sessions: Sequence[SessionQuestions],
    cues: LearnedCues,
    context: StageContext,
    encoder: CachingEncoder,
    adjust: Adjust | None,
) -> PublishedGrader:
    examples = [example for session in sessions for example in session.asked]
    idle = [example for session in sessions for example in session.idle]

    def step(done: int, total: int, what: str) -> None:
        context.progress.update(done, total, f"{role} grader: {what}")

    grader, texts = fit_grader(
        [*pack_questions(context.pack), *examples],
        idle,
        pack=context.pack,
        kind=kind,
        encoder=encoder,
        step=step,
        cues=cues,
    )
    if adjust is not None:
        adjust(role, grader)
    digest = write_grader(
        context.out / role, grader.fitted, pack=context.pack, encoder=encoder, texts=texts, cues=cues
    )
    about: dict[str, JsonValue] = {
        "kind": kind,
        "digest": digest,
        "sessions": len(sessions),
        "questions": len(examples),
        "idle_questions": len(idle),
    }
    return PublishedGrader(grader=grader, about=about)


def _encode_questions(questions: Questions, context: StageContext, encoder: CachingEncoder) -> None:
    """Encode all texts for the fits at once and with a journal, because this is the longest step."""
    examples: list[Example] = list(pack_questions(context.pack))
    for session in questions.sessions:
        examples += [*session.asked, *session.idle]
    units = [unit for example in examples for unit in units_of(example.text)]
    encoder.encode(units, lambda done, total: context.progress.update(done, total, "encoding questions"))


def _refused_shares(grader: Grader, questions: Questions, pack: Pack) -> dict[str, JsonValue]:
    """Return the shares of made-up non-questions and of users' statements that a grader refuses.

    A few users' messages ask something without a question mark. The fluency guard refuses them, and it is the same in
    both graders.
    """
    made = [
        GradeCase(session_id="", task=task, response=text, target=frozenset())
        for task, text in non_questions(pack, questions.told())
    ]
    statements = [
        GradeCase(session_id=session.session_id, task=session.task, response=text, target=frozenset())
        for session, text in questions.statements()
    ]
    return {
        name: share([isinstance(grade, Grade) and not grade.is_question for grade in grader.grade(cases)])
        for name, cases in (("made", made), ("user_messages", statements))
    }


def _learned(cues: LearnedCues) -> dict[str, JsonValue]:
    """Return what a person should know of the learned cues."""
    shown: list[JsonValue] = [
        {"begins": f"{text} …", "ends": f"… {text}", "is": text}[cue.place]
        for cue in cues.cues[:_SHOWN_CUES]
        for text in (" ".join(cue.words),)
    ]
    return {"requests_without_a_mark": len(cues.cues), "examples": shown}


def _gold(questions: Questions) -> dict[str, JsonValue]:
    labellers = sorted(questions.labellers)
    note = "annotations of the logs"
    if "annotated" not in labellers:
        note = "labels of the labeller itself, so agreement with it bounds agreement with people from above"
    return {"labellers": list(labellers), "note": note}


def _graded_question(
    session: SessionQuestions,
    example: Example,
    grade: Grade | MissingGrade,
    questions: Questions,
    pack: Pack,
    wordings: KnownWordings,
) -> GradedQuestion:
    task = pack.task(example.task)
    return GradedQuestion(
        session_id=session.session_id,
        seen=task.group_name in questions.seen_groups,
        fields=task.field_names,
        gold=example.asked,
        grade=grade,
        known_wording=wordings.has(example),
    )
