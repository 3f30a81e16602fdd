"""Judge: a language model that grades questions, with reasons (docs/grading.md).

Stops, and responses that the fluency guard refuses, are graded by rule as in the model-free grader.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue, ValidationError

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack
from learntoask.grading.cues import NO_CUES, LearnedCues, read_cues, write_cues
from learntoask.grading.fluency import FluencyGuard
from learntoask.grading.grades import REFUSED, Grade, GradeCase, MissingGrade, grade_by_rule
from learntoask.grading.judge.prompt import JudgePrompt
from learntoask.grading.judge.verdict import contradictions, form_for, grade_of
from learntoask.llm.client import LlmClient
from learntoask.llm.journal import ReplyJournal
from learntoask.llm.retry import retry_messages
from learntoask.llm.spending import Spending
from learntoask.llm.structured_output import ModelReply, NoAnswerReason

WHERE = "spec.grader.llm"
JUDGE_FILE = "judge.json"
_VERSION = 2
_REMEMBERED = 20_000  # cached grades; a policy that converges repeats its questions
_LOGGER = logging.getLogger(__name__)


class Judge:
    """See Grader. Use either `grade`, outside an event loop, or `grade_one`, inside one; not both.

    With a journal, a question that an earlier process has graded keeps its grade.
    """

    def __init__(
        self,
        settings: LlmJudge,
        pack: Pack,
        *,
        journal: Path | None = None,
        reverse: bool = False,
        spending: Spending | None = None,
        cues: LearnedCues = NO_CUES,
    ) -> None:
        """Raises InputError when the API key is missing, StageError when the journal cannot be opened.

        `reverse` lists the fields in reverse order (see probes). Judges with the same `spending` share a budget.
        """
        self.digest = judge_digest(settings, pack, cues)
        self.settings = settings
        self.cues = cues
        self.spending = spending or Spending(settings.budget, where=f"{WHERE}.budget")
        self._pack = pack
        self._prompt = JudgePrompt(pack, settings.context_messages, reverse)
        self._guard = FluencyGuard(pack, cues)
        self._client = LlmClient(
            settings.endpoint,
            spending=self.spending,
            where=f"{WHERE}.endpoint",
            journal=ReplyJournal(journal) if journal else None,
        )
        self._runner: asyncio.Runner | None = None
        self._known: OrderedDict[GradeCase, Grade] = OrderedDict()

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        """See Grader. Raises StageError when no further request can succeed (see LlmClient.complete)."""
        self._runner = self._runner or asyncio.Runner()
        return self._runner.run(self._grade_all(cases))

    async def grade_one(self, case: GradeCase) -> Grade | MissingGrade:
        """Return the grade of one case. Raises StageError as `grade` does."""
        by_rule = grade_by_rule(case)
        if by_rule is not None:
            return by_rule
        if not self._guard.asking(case.response):
            return REFUSED
        known = self._known.get(case)
        if known is not None:
            return known
        found = await self._ask(case)
        if isinstance(found, Grade):
            self._known[case] = found
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found

    def close(self) -> None:
        """Close the connections, after `grade`."""
        runner = self._runner or asyncio.Runner()
        runner.run(self.aclose())
        runner.close()

    async def aclose(self) -> None:
        """Close the connections, after `grade_one`."""
        await self._client.close()
        if self.spending.requests:
            _LOGGER.info("judge %s: %s", self.settings.endpoint.model, self.spending.counts())

    async def _grade_all(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        tasks = {case: asyncio.create_task(self.grade_one(case)) for case in dict.fromkeys(cases)}
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        return [tasks[case].result() for case in cases]

    async def _ask(self, case: GradeCase) -> Grade | MissingGrade:
        """Send one request, and once more with the reason if the reply cannot be accepted."""
        form = form_for(tuple(field.name for field in self._pack.task(case.task).fields))
        question, max_tokens = self._prompt.messages(case), self.settings.endpoint.max_tokens
        problems: tuple[str, ...] = ()
        for _ in range(2):
            outcome = await self._client.complete(question, form=form, max_tokens=max_tokens)
            if isinstance(outcome, ModelReply):
                problems = tuple(contradictions(outcome.parsed, case.target))
                if not problems:
                    return grade_of(outcome.parsed, case.target)
                missing = f"the judge contradicts itself: {problems[0]}"
            else:
                problems = (outcome.message,)
                missing = f"the judge gave no answer ({outcome.reason}): {outcome.message}"
                if not outcome.reason.by_model:
                    break
                if outcome.reason is NoAnswerReason.CUT:
                    max_tokens *= 2
            question = retry_messages(question, answer=outcome.text, problems=problems)
        return MissingGrade(missing)


def judge_digest(settings: LlmJudge, pack: Pack, cues: LearnedCues) -> str:
    """Return the digest of a judge: of the model, its prompt, the reading of its reply, and the learned cues."""
    return digest_of(
        {
            "version": _VERSION,
            "endpoint": settings.endpoint.determining,
            "briefing": JudgePrompt(pack, settings.context_messages).digest,
            **({"cues": cues.records()} if cues else {}),
        }
    )


def write_judge(folder: Path, settings: LlmJudge, pack: Pack, cues: LearnedCues) -> str:
    """Write judge.json into `folder`, and cues.json if there are any, and return the judge's digest."""
    folder.mkdir(parents=True, exist_ok=True)
    write_cues(folder, cues)
    about: dict[str, JsonValue] = {
        "digest": judge_digest(settings, pack, cues),
        "settings": settings.model_dump(mode="json", by_alias=True),
        "prompt": pack.prompts.judge,
    }
    (folder / JUDGE_FILE).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return str(about["digest"])


def keep_prompt(folder: Path) -> None:
    """Let the judge in `folder` be opened with the prompt that it was published with, whatever prompt the pack has.

    The stage calibrate does so with a prompt that it has revised; the pack of the run stays as it is.
    """
    path = folder / JUDGE_FILE
    about = json.loads(path.read_text(encoding="utf-8"))
    about["promptKept"] = True
    path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def published_pack(folder: Path, pack: Pack) -> Pack:
    """Return the pack to open the judge in `folder` with: the given one, with the judge's own prompt if it is kept."""
    about = json.loads((folder / JUDGE_FILE).read_text(encoding="utf-8"))
    if not about.get("promptKept"):
        return pack
    return pack.model_copy(update={"prompts": pack.prompts.model_copy(update={"judge": about["prompt"]})})


def read_judge(folder: Path) -> tuple[LlmJudge, str, LearnedCues]:
    """Return settings, digest and cues of the judge in `folder`. Raises InputError when it cannot be read."""
    try:
        about = json.loads((folder / JUDGE_FILE).read_text(encoding="utf-8"))
        return LlmJudge.model_validate(about["settings"]), str(about["digest"]), read_cues(folder)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(
            f"{folder} holds no judge that can be read ({error}); run the grader stage again"
        ) from error
