"""Labeller `llm`: language models find what is asked and given, and only findings that the log confirms count.

One request asks about one decision point, or about all of a session. If the reply has the wrong form or is not grounded
in the log, the model is asked once more and told the reason; if it fails again, the decision point is quarantined.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.errors import StageError
from learntoask.core.manifest import LlmLabelling, seconds
from learntoask.core.pack import Pack
from learntoask.core.prompt import ChatMessage
from learntoask.core.records import Provenance, Session
from learntoask.labeling.labellers.protocol import Findings, LabelFailure
from learntoask.labeling.llm.extraction import ModelFindings, Span, form_for, read_extraction
from learntoask.labeling.llm.findings import FindingsByTurn, session_findings, split_by_turn, turns_to_ask
from learntoask.labeling.llm.prompt import LabelPrompts
from learntoask.labeling.llm.vote import vote
from learntoask.labeling.logs.quarantine import Reason
from learntoask.llm.client import LlmClient
from learntoask.llm.journal import ReplyJournal
from learntoask.llm.retry import retry_messages
from learntoask.llm.spending import Spending
from learntoask.llm.structured_output import ModelReply, NoAnswerReason

WHERE = "spec.label.llm"
_FINISHED = (
    4096  # labelled sessions that may wait for a slow one before them (they are written in their order)
)
_REASONS = {
    NoAnswerReason.REFUSED: Reason.MODEL_REFUSED,
    NoAnswerReason.CUT: Reason.ANSWER_CUT,
    NoAnswerReason.EMPTY: Reason.ANSWER_EMPTY,
    NoAnswerReason.NOT_JSON: Reason.ANSWER_NOT_JSON,
    NoAnswerReason.WRONG_FORM: Reason.ANSWER_WRONG_FORM,
    NoAnswerReason.DENIED: Reason.REQUEST_DENIED,
    NoAnswerReason.UNAVAILABLE: Reason.ENDPOINT_UNAVAILABLE,
}


class LlmLabeller:
    """See StageLabeller. Use `label_all` only once, because it closes the connections at its end."""

    def __init__(self, pack: Pack, settings: LlmLabelling, *, work: Path) -> None:
        """Open the clients and their journals in `work`, which keep the replies that a killed attempt had received.

        Raises InputError when an API key is missing, StageError when a journal cannot be opened.
        """
        self._settings = settings
        self._pack = pack
        by_log = settings.macro_goal == "log" or (settings.macro_goal == "auto" and pack.require_end_marker)
        self._prompts = LabelPrompts(pack, acts=not by_log)
        self._spending = Spending(settings.budget, where=f"{WHERE}.budget")
        self._second_requests = 0
        self._clients = [
            LlmClient(
                endpoint,
                spending=self._spending,
                where=f"{WHERE}.endpoint" if not number else f"{WHERE}.judges.{number - 1}",
                journal=ReplyJournal(work / f"answers-{number}.jsonl"),
            )
            for number, endpoint in enumerate(settings.endpoints)
        ]
        # Twice the number of concurrent requests, because some sessions wait for a retry. More sessions at once would
        # evict each other from a server's prefix cache.
        self._under_way = asyncio.Semaphore(2 * max(endpoint.concurrency for endpoint in settings.endpoints))
        self.provenance = Provenance(
            labeller="llm",
            model=" + ".join(endpoint.model for endpoint in settings.endpoints),
            prompt_digest=self._prompts.digest,
        )

    def label_all(self, sessions: Iterable[Session]) -> Iterator[tuple[Session, Findings]]:
        """Label many sessions at once and yield them in their order.

        Raises StageError when no further request can succeed (see LlmClient.complete), after the requests under way
        have ended.
        """
        started: deque[tuple[Session, asyncio.Task[Findings]]] = deque()
        failure: StageError | None = None
        with asyncio.Runner() as runner:
            loop = runner.get_loop()

            def oldest() -> tuple[Session, Findings]:
                session, task = started.popleft()
                # Not runner.run, because it installs a signal handler each time, which costs 0.3 ms per session.
                return session, loop.run_until_complete(task)

            try:
                for session in sessions:
                    started.append((session, loop.create_task(self.label(session))))
                    if len(started) >= _FINISHED:
                        yield oldest()
                while started:
                    yield oldest()
            except StageError as error:
                failure = error
            finally:
                runner.run(self._close([task for _, task in started], drain=failure is not None))
        if failure is not None:
            raise failure

    async def label(self, session: Session) -> Findings:
        """Label one session with all models. Raises StageError as `label_all` does."""
        turns = turns_to_ask(session, acts=self._prompts.acts)
        async with self._under_way:
            found = await asyncio.gather(*(self._ask(client, session, turns) for client in self._clients))
        agreement = self._settings.agreement or "majority"
        by_turn = {turn: vote([by_model[turn] for by_model in found], agreement) for turn in turns}
        return session_findings(session, by_turn, acts=self._prompts.acts)

    def progress(self) -> dict[str, float]:
        spent = self._spending
        figures: dict[str, float] = {"requests": spent.requests}
        return figures if spent.cost is None else {**figures, "cost": spent.cost}

    def usage(self) -> dict[str, JsonValue]:
        """See StageLabeller."""
        return {
            "models": [endpoint.model for endpoint in self._settings.endpoints],
            **self._spending.counts(),
            "asked_again": self._second_requests,
        }

    async def _ask(self, client: LlmClient, session: Session, turns: Sequence[int]) -> FindingsByTurn:
        """Return what one model finds at each of `turns`."""
        if not turns:
            return {}
        prompts = self._prompts.session_prompts(session)
        if self._settings.per_session:
            span = Span(session.turns[0].start, len(session.messages))
            found = await self._extract(client, session, prompts.for_session(), span)
            return split_by_turn(found, session, turns)

        async def at(index: int) -> ModelFindings | LabelFailure:
            turn = session.turns[index]
            return await self._extract(client, session, prompts.for_turn(turn), Span(turn.start, turn.end))

        # The first request is sent alone, so that the others find their common prefix in the server's cache.
        first = await at(turns[0])
        rest = await asyncio.gather(*(at(index) for index in turns[1:]))
        return dict(zip(turns, (first, *rest), strict=True))

    async def _extract(
        self, client: LlmClient, session: Session, messages: list[ChatMessage], span: Span
    ) -> ModelFindings | LabelFailure:
        """Send one request, and once more with the reason if the reply cannot be accepted."""
        task = self._pack.task(session.task)
        form = form_for(tuple(field.name for field in task.fields), acts=self._prompts.acts)
        question, max_tokens = messages, client.endpoint.max_tokens
        failure: LabelFailure | None = None
        for attempt in (1, 2):
            outcome = await client.complete(question, form=form, max_tokens=max_tokens)
            if isinstance(outcome, ModelReply):
                checked = read_extraction(outcome.parsed, session, task, span)
                if isinstance(checked, ModelFindings):
                    return replace(checked, attempts=attempt)
                reason, problems = Reason.UNGROUNDED, checked.problems
            else:
                reason, problems = _REASONS[outcome.reason], (outcome.message,)
                if not outcome.reason.by_model:
                    return LabelFailure(reason, outcome.message)
                if outcome.reason is NoAnswerReason.CUT:
                    max_tokens *= 2
            failure = LabelFailure(reason, "; ".join(problems))
            if attempt == 1:
                self._second_requests += 1
                question = retry_messages(messages, answer=outcome.text, problems=problems)
        assert failure is not None
        return failure

    async def _close(self, tasks: Sequence[asyncio.Task[Findings]], *, drain: bool) -> None:
        """Close the clients. With `drain`, wait first for the requests under way, so that their replies, which are
        paid for, reach the journals.
        """
        under_way = asyncio.all_tasks() - {
            asyncio.current_task()
        }  # includes turns of sessions that have failed
        if drain and under_way:
            await asyncio.wait(
                under_way, timeout=max(seconds(endpoint.timeout) for endpoint in self._settings.endpoints)
            )
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, *tasks, return_exceptions=True)
        for client in self._clients:
            await client.close()
