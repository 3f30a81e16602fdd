"""A prompt rewritten by `calibrate.proposer`, a model that is neither the judge nor the labeller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from learntoask.calibration.draw.findings import Finding
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.calibration.revise.guards import faults_of
from learntoask.calibration.revise.prompts import Mistake, Propose, Rewritten
from learntoask.core.manifest import Budget, Endpoint
from learntoask.core.prompt import ChatMessage
from learntoask.llm.client import LlmClient
from learntoask.llm.journal import ReplyJournal
from learntoask.llm.spending import Spending
from learntoask.llm.structured_output import Form, ModelReply

WHERE = "spec.calibrate.proposer"
_MOST_SHOWN = 20  # mistakes that the proposer reads
_TASK = """\
You improve the instructions of a {reader}, a language model that decides which fields of information the messages of \
a conversation ask for. Write instructions that would have avoided the mistakes below and stay right elsewhere. State \
rules, never the examples or their words. Keep every template variable and tag ({{{{ … }}}}, {{% … %}}) exactly as it \
is, and add at most half of the length. Answer with one JSON object: "reason", one sentence, and "prompt", the whole \
new instructions."""


class Reply(Form):
    """A rewritten prompt. The reason comes first, as in a verdict."""

    reason: str
    prompt: str


def proposer(
    endpoint: Endpoint, findings: Mapping[TurnKey, Finding], *, reader: str, journal: Path
) -> Propose:
    """Return the function that has a prompt of `reader` rewritten, and returns None where the guards refuse that.

    `findings` hold the words of each turn; a mistake about a turn without words is not shown.
    """

    def propose(prompt: str, mistakes: Sequence[Mistake]) -> Rewritten | None:
        said = [(_text(one, findings), one) for one in mistakes]
        shown = [(text, one) for text, one in said if text][:_MOST_SHOWN]
        if not shown:
            return None
        failed = "\n\n".join(
            f"Message: {text}\nThe {reader} found: {_names(one.found)}\nPeople found: {_names(one.right)}"
            for text, one in shown
        )
        messages: list[ChatMessage] = [
            {"role": "system", "content": _TASK.format(reader=reader)},
            {"role": "user", "content": f"The instructions:\n\n{prompt}\n\nWhere they failed:\n\n{failed}"},
        ]
        answer = asyncio.run(_ask(endpoint, messages, journal))
        if answer is None or any(faults_of(answer.prompt, prompt, [text for text, _ in shown])):
            return None
        return Rewritten(answer.prompt, endpoint.model)

    return propose


def _text(mistake: Mistake, findings: Mapping[TurnKey, Finding]) -> str:
    origin = mistake.answered.item.origin
    finding = findings.get((origin.session_id, origin.turn))
    return finding.text if finding is not None else ""


def _names(found: frozenset[str]) -> str:
    return ", ".join(sorted(found)) or "none"


async def _ask(endpoint: Endpoint, messages: Sequence[ChatMessage], journal: Path) -> Reply | None:
    client = LlmClient(
        endpoint,
        spending=Spending(Budget(), where=WHERE),
        where=WHERE,
        journal=ReplyJournal(journal),
    )
    try:
        outcome = await client.complete(messages, form=Reply, max_tokens=max(endpoint.max_tokens, 2048))
    finally:
        await client.close()
    return outcome.parsed if isinstance(outcome, ModelReply) else None
