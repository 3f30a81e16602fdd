"""The LLM judge against a real HTTP server: grades, missing grades, and how the stage detects a bad judge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from learntoask.core.errors import InputError, StageError, TooManyMissing
from learntoask.core.manifest import GraderSettings
from learntoask.core.records import Message
from learntoask.core.stages.contract import StageContext
from learntoask.grader_service.client import RemoteGrader
from learntoask.grader_service.config import GraderConfig
from learntoask.grader_service.process import make_server
from learntoask.grader_service.server import GraderServer
from learntoask.grading.grades import REFUSED, Grade, MissingGrade
from learntoask.grading.judge.judge import Judge
from learntoask.grading.loader import load_grader, published_digest
from learntoask.grading.probe import probe_grader
from learntoask.grading.stage import run
from learntoask.rpc.process import in_thread
from worlds.grader import PACK, grader_context, labelled_session, sessions
from worlds.llm.judge import (
    case,
    first_come,
    flatterer,
    impressed_by_length,
    judge,
    judgement_reply,
    perfect,
    settings,
)
from worlds.llm.server import LlmServer, ReceivedRequest, Reply, Script, Status

CITY = "Where are you leaving from?"
BOTH = "Where are you leaving from? For how many people?"


def test_grades_come_with_reasons_and_what_needs_no_judgement_is_not_asked():
    with LlmServer(perfect) as server, closing(judge(server)) as asked:
        right, half, wrong, stop, apology, again = asked.grade(
            [
                case(CITY, "departure_city"),
                case(BOTH, "departure_city"),
                case(CITY, "destination"),
                case("<stop />"),
                case("I'm sorry, I cannot book seats."),
                case(CITY, "departure_city"),
            ]
        )
        asked.grade([case(CITY, "departure_city")])
        requests = server.requests
    assert (right.content, right.format, right.asked) == (1.0, 1.0, {"departure_city"})
    assert right.reason == "asks for ['departure_city']"
    assert (half.content, half.content_any, half.format) == (0.5, 1.0, 0.5)
    assert (wrong.content, wrong.content_any, wrong.format) == (0.0, 0.0, 1.0)
    assert (stop.content, stop.format) == (1.0, 1.0)
    assert apology == REFUSED
    assert again == right
    assert len(requests) == 3


def test_the_model_is_asked_coldly_for_one_form_and_reads_the_end_of_the_conversation():
    context = tuple(Message(role="user", content=f"message {number}", author="user") for number in range(9))
    with LlmServer(perfect) as server, closing(judge(server, contextMessages=2)) as asked:
        asked.grade([case(CITY, "destination", context=context)])
        (request,) = server.requests
    assert (request.body["temperature"], request.body["model"]) == (0, "m")
    schema = request.body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["asked"]["items"]["enum"] == [field.name for field in PACK.task("bus").fields]
    assert schema["properties"]["content"]["enum"] == ["1", "0.5", "0"]
    assert "message 6" not in request.question
    assert "user: message 7\nuser: message 8\n" in request.question
    assert "Still needed: destination" in request.question


NONSENSE: dict[str, tuple[Reply | Status, str]] = {
    "no JSON": (Reply("I think it is fine."), "no answer (not-json)"),
    "cut": (Reply('{"reason": "it', finish="length"), "no answer (cut)"),
    "a refusal": (Reply(None, refusal="I will not."), "no answer (refused)"),
    "nothing": (Reply(""), "no answer (empty)"),
    "an unknown field": (
        judgement_reply(reason="", asked=["colour"], content="1", format="1"),
        "no answer (wrong-form): asked.0",
    ),
    "a mark that is none": (
        judgement_reply(reason="", asked=[], content="0.7", format="1"),
        "no answer (wrong-form): content",
    ),
    "1 without finding anything": (
        judgement_reply(reason="", asked=[], content=1, format=1),
        "contradicts itself: content is 1, but you list no field",
    ),
    "1 for what is known": (
        judgement_reply(reason="", asked=["departure_city"], content="1", format="1"),
        "contradicts itself: content is 1, but you list departure_city",
    ),
    "one item and two fields": (
        judgement_reply(reason="", asked=["departure_city", "number_of_seats"], content="0", format=1),
        "format is 1, but you list 2 fields",
    ),
    "an error with status 200": (Status(200, {"error": {"message": "down"}}), "no answer (unavailable)"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_asked_again_with_the_reason_and_then_missing(kind: str):
    reply, reason = NONSENSE[kind]
    with LlmServer(lambda _: reply) as server, closing(judge(server)) as asked:
        (found,) = asked.grade([case(CITY, "destination")])
        again = [request for request in server.requests if request.refused]
    assert isinstance(found, MissingGrade)
    assert reason in found.reason
    assert bool(again) == isinstance(reply, Reply)


def test_a_judge_that_mends_its_answer_is_heard():
    def second_thoughts(asked: ReceivedRequest) -> Reply:
        return (
            perfect(asked) if asked.refused else judgement_reply(reason="", asked=[], content="1", format="1")
        )

    with LlmServer(second_thoughts) as server, closing(judge(server)) as asked:
        (found,) = asked.grade([case(CITY, "departure_city")])
        assert "content is 1, but you list no field" in server.requests[1].refused
    assert isinstance(found, Grade)
    assert found.content == 1.0


def test_a_resumed_stage_keeps_its_grades_without_asking(tmp_path: Path):
    cases = [case(CITY, "departure_city"), case(BOTH, "destination")]
    with LlmServer(perfect) as server:
        with closing(judge(server, journal=tmp_path / "j")) as first:
            before = first.grade(cases)
        asked_before = len(server.requests)
        server.script = flatterer
        with closing(judge(server, journal=tmp_path / "j")) as second:
            assert second.grade(cases) == before
        assert len(server.requests) == asked_before


def test_a_spent_budget_stops_the_stage():
    with (
        LlmServer(perfect) as server,
        closing(judge(server, budget={"requests": 1})) as asked,
        pytest.raises(StageError, match=r"spec\.grader\.llm\.budget\.requests = 1 is spent"),
    ):
        asked.grade([case(CITY, "destination"), case(BOTH, "destination")])


THANKS = (
    "Thank you so much for your patience. I really appreciate it and I am glad to be of service to you today."
)
POLITE = labelled_session(900, [(f"{THANKS} Where are you leaving from?", ["departure_city"])])


def publish(folder: Path, server: LlmServer) -> StageContext:
    """Run the grader stage with a judge."""
    context = grader_context(folder, [*sessions(), POLITE])
    context.spec.grader = GraderSettings(method="llm", encoder="hashing", llm=settings(server.uri))
    run(context)
    return context


@pytest.fixture(scope="module")
def perfectly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StageContext, LlmServer]]:
    """A published judge, and its endpoint."""
    with LlmServer(perfect) as server:
        yield publish(tmp_path_factory.mktemp("judge"), server), server


def test_the_stage_measures_the_judge_on_held_out_questions_and_probes(perfectly):
    context, _ = perfectly
    record = json.loads((context.out / "agreement.json").read_text())
    probes = record["rewarding"]["probes"]
    assert probes["kappa"]["value"] == 1.0
    assert (probes["right_found"]["value"], probes["wrong_found"]["value"]) == (1.0, 0.0)
    assert probes["always"] is None
    assert probes["position"]["same_content"]["value"] == 1.0
    assert probes["length"]["same_content"]["value"] == 1.0
    assert record["rewarding"]["exact"]["value"] == 1.0
    assert record["rewarding"]["questions"] == 36
    assert record["rewarding"]["asked"]["requests"] <= 4 * 36
    assert record["fits"]["rewarding"]["kind"] == "llm"
    assert record["fits"]["reporting"]["kind"] == "trees"
    assert record["fits"]["reporting"]["sessions"] == 61  # it gets all of them, not one half
    assert record["kappa"] == record["reporting"]["kappa"]
    assert record["same_findings"]["value"] >= 0.8


@pytest.mark.parametrize(
    ("script", "finding"),
    [
        (flatterer, "it always gives content 1, whatever is needed"),
        (
            lambda _: judgement_reply(reason="", asked=[], content="0", format="1"),
            "it always gives content 0",
        ),
    ],
)
def test_a_judge_that_always_says_the_same_is_refused(tmp_path: Path, script: Script, finding: str):
    with (
        LlmServer(script) as server,
        pytest.raises(StageError, match=r"κ 0\.0 .* is below spec\.grader\.llm\.minKappa") as refused,
    ):
        publish(tmp_path, server)
    assert refused.value.reason == "JudgeRefused"
    assert finding in str(refused.value)


def test_a_judge_that_talks_nonsense_is_not_published(tmp_path: Path):
    with (
        LlmServer(lambda _: Reply("Nice question!")) as server,
        pytest.raises(TooManyMissing, match="judge m, expert questions: 36 of 36 grades are missing"),
    ):
        publish(tmp_path, server)


@pytest.mark.parametrize(
    ("script", "biased", "fair", "figure"),
    [
        (impressed_by_length, "length", "position", "same_content"),
        (first_come, "position", "length", "same_asked"),
    ],
)
def test_bias_by_length_and_by_position_shows(
    tmp_path: Path, script: Script, biased: str, fair: str, figure: str
):
    context = grader_context(tmp_path, [*sessions(), POLITE])
    with LlmServer(script) as server:
        figures = probe_grader(
            None,
            judge=settings(server.uri),
            labelled=context.inputs["label"] / "labelled.jsonl",
            pack=PACK,
            at_most=36,
            work=context.work,
        )
    assert figures["kappa"]["value"] == 1.0  # it tells right from wrong but is biased
    assert figures[biased][figure]["value"] < 0.8
    assert {figures[fair][name]["value"] for name in ("same_asked", "same_content", "same_format")} == {1.0}
    assert (figures["length"]["content_change"] > 0.1) == (biased == "length")


def test_a_published_judge_is_the_one_of_its_pack_and_settings(perfectly):
    context, server = perfectly
    folder = context.out / "rewarding"
    for judge_now in (None, settings(server.uri, endpoint={"concurrency": 3, "timeout": "9s"})):
        with closing(load_grader(folder, PACK, judge=judge_now)) as loaded:
            assert isinstance(loaded, Judge)
            assert loaded.digest == published_digest(folder)
    other = settings(server.uri, endpoint={"model": "n"})
    with pytest.raises(InputError, match="another pack or with other settings"):
        load_grader(folder, PACK, judge=other)
    reworded = PACK.model_copy(update={"prompts": PACK.prompts.model_copy(update={"judge": "Judge."})})
    with pytest.raises(InputError, match="another pack or with other settings"):
        load_grader(folder, reworded)


def test_a_judge_is_served_with_its_context_and_its_faults_are_missing_grades(perfectly):
    published, server = perfectly
    context = tuple(Message(role="user", content=f"message {number}", author="user") for number in range(20))
    few = settings(server.uri, budget={"requests": 2})
    before = len(server.requests)

    async def make() -> GraderServer:
        return await make_server(GraderConfig(port=0), published.out, PACK, few)

    with (
        in_thread(make, name="judge-server") as service,
        RemoteGrader(
            service.address, grader="rewarding", digest=published_digest(published.out / "rewarding")
        ) as remote,
    ):
        found = remote.grade([case(CITY, "departure_city", context=context), case(BOTH, "departure_city")])
        (spent,) = remote.grade([case("What is your destination?", "destination")])
    assert [one.content for one in found] == [1.0, 0.5]
    assert found[0].reason == "asks for ['departure_city']"
    assert isinstance(spent, MissingGrade)
    assert "budget.requests = 2 is spent" in spent.reason
    questions = [request.question for request in server.requests[before:]]
    assert any("message 8\n" in text and "message 7\n" not in text for text in questions)  # 12 of 20
