"""Scripts for a fake judge: perfect, biased or useless."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from learntoask.core.manifest import LlmJudge
from learntoask.grading.grades import GradeCase
from learntoask.grading.judge.judge import Judge

from worlds.grader import PACK, WORDINGS
from worlds.llm.server import LlmServer, ReceivedRequest, Reply

QUESTION = re.compile(r"^The question to judge: (.*)$", re.MULTILINE)
NEEDED = re.compile(r"^Still needed: (.*)$", re.MULTILINE)
FIELD = re.compile(r"^- (\w+)", re.MULTILINE)


def question(asked: ReceivedRequest) -> str:
    return QUESTION.search(asked.question).group(1)


def needed(asked: ReceivedRequest) -> set[str]:
    return set(NEEDED.search(asked.question).group(1).split(", ")) - {"nothing"}


def listed(asked: ReceivedRequest) -> list[str]:
    """Return the fields in the order of the prompt."""
    return FIELD.findall(asked.body["messages"][0]["content"])


def fields_in(text: str) -> list[str]:
    """Return the fields that a question of this world asks for."""
    return [
        name
        for name, wordings in WORDINGS.items()
        if any(wording.rstrip("?.") in text for wording in wordings)
    ]


def marks(asked: list[str], wanted: set[str]) -> dict[str, Any]:
    hit = set(asked) & wanted
    content = "0" if not hit else "1" if set(asked) <= wanted else "0.5"
    form = {1: "1", 2: "0.5"}.get(len(asked), "0")
    return {"reason": f"asks for {asked}", "asked": asked, "content": content, "format": form}


def judgement_reply(**judgement: Any) -> Reply:
    return Reply(json.dumps(judgement))


def perfect(asked: ReceivedRequest) -> Reply:
    return judgement_reply(**marks(fields_in(question(asked)), needed(asked)))


def flatterer(asked: ReceivedRequest) -> Reply:
    """Give every question the best grade, with a needed field as the one that it asks for."""
    wanted = sorted(needed(asked))[:1]
    return judgement_reply(reason="fine", asked=wanted, content="1", format="1")


def impressed_by_length(asked: ReceivedRequest) -> Reply:
    judgement = marks(fields_in(question(asked)), needed(asked))
    if len(question(asked)) > 90 and judgement["content"] == "0":
        judgement["content"] = "0.5"
    return judgement_reply(**judgement)


def first_come(asked: ReceivedRequest) -> Reply:
    """Recognise only the first field in the order of the prompt if a question asks for two."""
    found = sorted(fields_in(question(asked)), key=listed(asked).index)[:1]
    return judgement_reply(**marks(found, needed(asked)))


def settings(uri: str, **changes: Any) -> LlmJudge:
    endpoint = {"uri": uri, "model": "m", "timeout": "20s", "retryFor": "1s", **changes.pop("endpoint", {})}
    return LlmJudge.model_validate({"endpoint": endpoint, "measured": 36, **changes})


def judge(server: LlmServer, *, journal: Path | None = None, **changes: Any) -> Judge:
    return Judge(settings(server.uri, **changes), PACK, journal=journal)


def case(text: str, target: str = "", **fields: Any) -> GradeCase:
    return GradeCase(
        **{"session_id": "s", "task": "bus", "response": text, "target": frozenset(target.split()), **fields}
    )
