"""What a policy finds missing reaches callers and records, and no part of its tag reaches a user."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from learntoask.client import AsyncClient, user
from learntoask.core.assessment import MissingField, parse
from learntoask.core.prompt import Context
from learntoask.serving.engines.protocol import Draft, TokenUsage
from worlds.gateway import gateway, write_pack
from worlds.serving import PACK, ScriptedEngine, recorded, samples, serving

FIELDS = PACK.task("default").fields


class AssessingEngine(ScriptedEngine):
    """An Engine whose model generates `text`."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.text = text

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        answer = parse(self.text, FIELDS)
        missing = tuple(MissingField(name, 0.5) for name in answer.assessment or ())
        return Draft(answer.text, -3.0, TokenUsage(10, 5, 7), (1,), (-0.1,), missing, answer.malformed)


async def test_callers_behind_a_gateway_and_records_are_told_what_is_missing(tmp_path: Path) -> None:
    pack, at_server, at_gateway = write_pack(tmp_path), tmp_path / "server", tmp_path / "gateway"
    engine = AssessingEngine("<need>duration</need> Since when?")
    async with (
        serving(engine, records=at_server) as server,
        gateway(pack, server.address, records=at_gateway) as front,
        AsyncClient(front.address) as client,
    ):
        asked = await client.decide([user("it hurts")], conversation_id="a")
        engine.text = "<stop />"
        stopped = await client.decide([user("it hurts")], conversation_id="b")
    assert (asked.question, asked.missing, asked.origin) == (
        "Since when?",
        (MissingField("duration", 0.5),),
        "model",
    )
    assert (stopped.stop, stopped.missing, stopped.origin) == (True, (), "model")
    for folder in (at_server, at_gateway):
        lines = {line["session_id"][0]: line["served"]["decisions"][0] for line in recorded(folder)}
        assert lines["a"]["missing"] == ["duration"]
        assert "missing" not in lines["b"]


@pytest.mark.parametrize(
    ("generated", "question", "missing", "origin"),
    [
        ("Since when?", "Since when?", (), "repaired"),
        ("<need>duration Since when?", "Since when?", (), "repaired"),
        ("<need>duration, colour</need> Since when?", "Since when?", ("duration",), "repaired"),
        ("<need>duration</need>", PACK.fallback, ("duration",), "fallback"),
        ("<need>duration</need> <stop />", None, (), "repaired"),
    ],
)
async def test_a_malformed_assessment_is_repaired_and_counted(
    generated: str, question: str | None, missing: tuple[str, ...], origin: str
) -> None:
    async with serving(AssessingEngine(generated)) as server, AsyncClient(server.address) as client:
        decision = await client.decide([user("it hurts")])
        assert samples(server, "lta_serving_malformed_assessments_total") == {(): 1.0}
    named = tuple(found.name for found in decision.missing)
    assert (decision.question, named, decision.origin) == (question, missing, origin)


async def test_no_part_of_a_tag_is_asked_whatever_the_model_generates() -> None:
    draw, engine = random.Random(0), AssessingEngine()
    pieces = ["<", "<need>", "</need>", "need>", "</", "need", "duration", ", ", " ", "Since when?", "How?"]
    asked = []
    async with serving(engine) as server, AsyncClient(server.address) as client:
        for _ in range(200):
            engine.text = "".join(draw.choices(pieces, k=8))
            asked.append((await client.decide([user("it hurts")])).question or "")
    assert not [question for question in asked if re.search(r"<\s*/?\s*need|need>", question)]
    assert len(set(asked)) > 5
