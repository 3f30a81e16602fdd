"""The policy server knows questions by the cues that were published with the policy, as its grader did."""

from __future__ import annotations

from pathlib import Path

from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.grading.cues import Cue, LearnedCues, write_cues
from learntoask.serving.decider import Decider
from learntoask.serving.engines.protocol import Draft, TokenUsage
from learntoask.serving.metrics import ServingMetrics
from learntoask.wire import ask_pb2 as wire
from worlds.serving import PACK, ScriptedEngine, serving, stub_of

REQUEST = "Naomba kujua umri wako."
CUES = LearnedCues((Cue(place="begins", words=("naomba",), sessions=9, fields=3, others=0),))
CONTEXT = Context("default", None, (Message(role="user", content="habari", author="user"),))


class RequestingEngine(ScriptedEngine):
    """Asks without a question mark, in a language of which no phrases are known."""

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        return Draft(REQUEST, -0.5, TokenUsage(10, 5, 7))

    async def with_weights(self, folder: Path) -> RequestingEngine:
        return self


async def test_a_reload_brings_the_cues_of_the_new_policy(tmp_path: Path) -> None:
    write_cues(tmp_path, CUES)
    decider = Decider(
        RequestingEngine(),
        revision="old",
        pack=PACK,
        metrics=ServingMetrics(),
        capacity=2,
        deadline_seconds=60,
    )
    before = await decider.decide(CONTEXT, seconds_left=None)
    await decider.reload(tmp_path, revision="new")
    after = await decider.decide(CONTEXT, seconds_left=None)
    assert (before.answer.origin, before.answer.question) == ("fallback", PACK.fallback)
    assert (after.answer.origin, after.answer.question) == ("model", REQUEST)


async def test_a_server_reads_the_cues_beside_its_policy(tmp_path: Path) -> None:
    write_cues(tmp_path, CUES)
    async with serving(RequestingEngine(), model=tmp_path) as server, stub_of(server) as stub:
        request = wire.DecideRequest(messages=[wire.Message(role=wire.ROLE_USER, content="habari")])
        reply = await stub.Decide(request)
    assert reply.decision.ask.question == REQUEST
