"""A policy server never puts a question twice, nor one for what the user has given."""

from __future__ import annotations

from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import STOP
from learntoask.serving.engines.protocol import Draft, TokenUsage
from learntoask.wire import ask_pb2 as wire
from worlds.serving import ScriptedEngine, request, samples, serving, stub_of

PACK = Pack.model_validate(
    {
        "name": "pharmacy",
        "fallback": "Could you tell me more?",
        "tasks": [
            {
                "name": "default",
                "fields": [
                    {"name": "age", "patterns": ["how old"]},
                    {"name": "allergy", "patterns": ["allerg", "bad reaction"]},
                ],
            }
        ],
    }
)
AGE, ALLERGY, REACTION = "How old are you?", "Any allergies?", "Have you had a bad reaction?"


class RankedEngine(ScriptedEngine):
    """Knows three questions of falling probability, and what is none; their first tokens differ."""

    def __init__(self, stop_logprob: float = -5.0) -> None:
        super().__init__()
        self._stop_logprob = stop_logprob

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        ranked = ((ALLERGY, -0.5), (REACTION, -1.5), (AGE, -3.0), ("Hm.", -6.0))
        allowed = [index for index in range(len(ranked)) if (index,) not in barred]
        token = allowed[0] if allowed else len(ranked)
        text, logprob = ranked[min(token, len(ranked) - 1)]
        return Draft(text, self._stop_logprob, TokenUsage(10, 5, 7), (token,), (logprob,))


async def decide(engine: RankedEngine, *said: str, **settings: object) -> tuple[wire.Decision, dict]:
    async with serving(engine, pack=PACK, **settings) as server, stub_of(server) as stub:
        reply = await stub.Decide(request(*said))
        return reply.decision, dict(samples(server, "lta_serving_avoided_repeats_total"))


async def test_a_field_that_was_answered_is_not_asked_for_in_other_words() -> None:
    decision, counted = await decide(RankedEngine(), "my head hurts", ALLERGY, "none")
    assert (decision.ask.question, decision.origin) == (AGE, wire.ORIGIN_REPAIRED)
    assert counted == {("ask", "repaired"): 1}
    assert decision.usage.completion_tokens == 21  # of three candidates


async def test_after_a_non_answer_it_is_asked_in_other_words_but_not_in_the_same() -> None:
    decision, _ = await decide(RankedEngine(), "my head hurts", ALLERGY, "I don't know")
    assert decision.ask.question == REACTION


async def test_the_policy_stops_where_it_would_only_repeat_and_nothing_is_missing() -> None:
    decision, counted = await decide(RankedEngine(), "hi", ALLERGY, "none", AGE, "thirty")
    assert decision.WhichOneof("action") == "stop"
    assert decision.origin == wire.ORIGIN_REPAIRED
    assert counted == {("stop", "repaired"): 1}


async def test_a_stop_that_is_likely_without_the_repeated_question_is_taken() -> None:
    # p(stop) = .14 is below the threshold, .14 / (1 - .61) = .36 is above it.
    decision, _ = await decide(RankedEngine(-2.0), "hi", ALLERGY, "none", stop_threshold=0.2)
    assert decision.WhichOneof("action") == "stop"
    assert round(decision.stop_probability, 2) == 0.14


async def test_a_new_question_is_put_as_it_is() -> None:
    decision, counted = await decide(RankedEngine(), "my head hurts")
    assert (decision.ask.question, decision.origin) == (ALLERGY, wire.ORIGIN_MODEL)
    assert not counted


async def test_with_repeat_allow_every_question_is_put() -> None:
    decision, _ = await decide(RankedEngine(), "my head hurts", ALLERGY, "none", repeat="allow")
    assert (decision.ask.question, decision.origin) == (ALLERGY, wire.ORIGIN_MODEL)
    assert STOP not in decision.ask.question
