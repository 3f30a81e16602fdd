"""Labeller `llm` in the stage label: labels of a correct model, none of a wrong one, and all of them after a kill."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.errors import StageError
from learntoask.core.pack import Pack
from worlds.llm import labelling as llm_labelling
from worlds.llm.labelling import LabelRun, labels_by_turn
from worlds.llm.server import RESET, LexiconModel, LlmServer, Outcome, ReceivedRequest, Reply, Status

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["llm_labelling"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> LabelRun:
    """Sessions of the pharmacy example, and in `lexicon` their labels by the pack's patterns."""
    run = LabelRun(tmp_path_factory.mktemp("pharmacy")).prepare()
    run.label("lexicon")
    return run


@pytest.fixture
def run(prepared: LabelRun, tmp_path: Path) -> LabelRun:
    (tmp_path / "prepare").symlink_to(prepared.folder / "prepare")
    (tmp_path / "lexicon").symlink_to(prepared.folder / "lexicon")
    return LabelRun(tmp_path)


@pytest.fixture(scope="module")
def scribe(prepared: LabelRun) -> LexiconModel:
    return LexiconModel(prepared.pack, task="remedy")


def draw(asked: ReceivedRequest) -> float:
    """A number in [0, 1) that depends on the session and the question alone."""
    return int(hashlib.sha256(asked.question.encode()).hexdigest()[:8], 16) / 16**8


def test_a_model_that_reads_as_the_pack_s_patterns_do_labels_as_the_lexicon(
    run: LabelRun, scribe: LexiconModel
) -> None:
    with LlmServer(scribe) as server:
        summary = run.llm(server.uri)
    expected = run.labelled("lexicon")
    assert labels_by_turn(run.labelled()) == labels_by_turn(expected)
    assert run.quarantine() == []
    asked = sum(len(one.session.turns) - (one.session.stop_turn is not None) for one in expected)
    assert len(server.requests) == asked  # a stop that the log marks needs no model
    assert summary["llm"]["requests"] == summary["llm"]["answers"] == asked
    assert summary["llm"]["prompt_tokens"] == 100 * asked
    assert json.loads((run.folder / "label/llm.json").read_text()) == summary["llm"]
    samples = [sample for one in run.labelled() for sample in one.samples]
    assert {(one.provenance.labeller, one.provenance.model) for one in samples} == {("llm", "m")}
    # The values that replay answers with are where the lexicon found them too.
    for mine, theirs in zip(run.labelled(), expected, strict=True):
        assert {(one.field, one.message) for one in mine.answers} <= {
            (one.field, one.message) for one in theirs.answers
        }


def test_one_request_a_session_gives_the_same_labels(run: LabelRun, scribe: LexiconModel) -> None:
    with LlmServer(scribe) as server:
        run.llm(server.uri, perSession=True)
    expected = run.labelled("lexicon")
    assert labels_by_turn(run.labelled()) == labels_by_turn(expected)
    with_questions = [one for one in expected if len(one.session.turns) > (one.session.stop_turn is not None)]
    assert len(server.requests) == len(with_questions)


def test_one_request_of_a_session_goes_ahead_of_the_others(run: LabelRun, scribe: LexiconModel) -> None:
    """So that the others find their common prefix in the server's cache."""
    begun: set[str] = set()
    early: list[str] = []

    def script(asked: ReceivedRequest) -> Outcome:
        session = asked.question.rsplit("\n", 1)[0]
        answered = (json.loads(body)["messages"][1]["content"] for body in server.answered)
        if session in begun and not any(question.startswith(session) for question in answered):
            early.append(session)
        begun.add(session)
        return scribe(asked)

    with LlmServer(script, latency=0.01) as server:
        run.llm(server.uri, endpoint={"concurrency": 4})
    assert labels_by_turn(run.labelled()) == labels_by_turn(run.labelled("lexicon"))
    assert early == []
    assert server.most_at_once == 4


def spoiled(
    scribe: LexiconModel, spoil: Callable[[dict[str, Any]], None]
) -> Callable[[ReceivedRequest], Reply]:
    def script(asked: ReceivedRequest) -> Reply:
        extraction = scribe.extraction(asked)
        spoil(extraction)
        return Reply(json.dumps(extraction))

    return script


def translated(extraction: dict[str, Any]) -> None:
    for item in extraction["items"]:
        if item["quote"] is not None:
            item["quote"], item["value"] = f"der Kunde sagt: {item['quote']}", f"etwa {item['value']}"


def invented(extraction: dict[str, Any]) -> None:
    for item in extraction["items"]:
        if item["value"] is not None:
            item["value"] += " or more"


WRONG: dict[str, Callable[[LexiconModel], Callable[[ReceivedRequest], Reply]]] = {
    "ungrounded": lambda scribe: spoiled(scribe, translated),
    "ungrounded value": lambda scribe: spoiled(scribe, invented),
    "answer-not-json": lambda scribe: lambda asked: Reply("The pharmacist asks about the age."),
    "answer-cut": lambda scribe: lambda asked: Reply(scribe(asked).content[:9], finish="length"),
    "answer-empty": lambda scribe: lambda asked: Reply(""),
    "answer-wrong-form": lambda scribe: lambda asked: Reply('{"symptoms": ["cough"]}'),
    "model-refused": lambda scribe: lambda asked: Reply("", refusal="I cannot give medical advice"),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_wrong_answer_is_asked_again_with_the_reason_and_then_quarantined(
    reason: str, run: LabelRun, scribe: LexiconModel
) -> None:
    wrong = WRONG[reason](scribe)
    spoilt: set[str] = set()

    def script(asked: ReceivedRequest) -> Reply:
        empty = not any(item["value"] for item in scribe.extraction(asked)["items"])
        if draw(asked) < 0.3 and not empty:
            spoilt.add(asked.question)
            return wrong(asked)
        return scribe(asked)

    with LlmServer(script) as server:
        summary = run.llm(server.uri, maxFailedShare=1.0)
    assert spoilt
    expected, labelled = labels_by_turn(run.labelled("lexicon")), labels_by_turn(run.labelled())
    quarantine = run.quarantine()
    assert {entry["reason"] for entry in quarantine} == {reason.split(maxsplit=1)[0]}
    missing = {(entry["session_id"], entry["turn"]) for entry in quarantine}
    assert len(missing) == len(spoilt) == summary["failed"] == summary["llm"]["asked_again"]
    assert labelled == {at: sample for at, sample in expected.items() if at not in missing}
    again = [asked for asked in server.requests if asked.refused]
    assert {asked.question for asked in again} == spoilt
    assert all("cannot be accepted" in (asked.refused or "") for asked in again)
    if reason == "answer-cut":
        assert {asked.body["max_tokens"] for asked in again} == {2048}


def test_an_answer_mended_on_the_second_try_is_a_label_and_says_so(
    run: LabelRun, scribe: LexiconModel
) -> None:
    wrong = spoiled(scribe, translated)

    def script(asked: ReceivedRequest) -> Reply:
        if asked.refused is None:
            return wrong(asked)
        assert "no message of the user after message" in asked.refused
        return scribe(asked)

    with LlmServer(script) as server:
        run.llm(server.uri)
    assert labels_by_turn(run.labelled()) == labels_by_turn(run.labelled("lexicon"))
    attempts = Counter(sample.provenance.attempts for one in run.labelled() for sample in one.samples)
    assert attempts[2] > attempts[1] > 0


def test_a_server_that_fails_now_and_then_costs_no_label_and_doubles_none(
    run: LabelRun, scribe: LexiconModel
) -> None:
    faults: list[Outcome] = [
        Status(500),
        Status(429, headers={"retry-after": "0"}),
        RESET,
        Status(200, {"error": {"message": "try again", "code": 503}}),
    ]

    def script(asked: ReceivedRequest) -> Outcome:
        fails = asked.attempt == 0 and draw(asked) < 0.15
        return faults[asked.number % len(faults)] if fails else scribe(asked)

    with LlmServer(script) as server:
        summary = run.llm(server.uri)
    assert labels_by_turn(run.labelled()) == labels_by_turn(run.labelled("lexicon"))
    assert run.quarantine() == []
    assert len(set(server.answered)) == len(server.answered)
    assert summary["llm"]["retries"] == len(server.requests) - len(server.answered) > 0


def test_a_killed_run_goes_on_where_it_was(
    run: LabelRun, scribe: LexiconModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(llm_labelling.__file__).parents[2]))
    journal = run.folder / "label-work" / "answers-0.jsonl"
    with LlmServer(scribe, latency=0.02) as server:
        for share in sorted(random.sample(range(1, 9), 2)):
            process = FORK.Process(
                target=llm_labelling.label_in_child, args=(run.folder, server.uri, "killed", run.sessions)
            )
            process.start()
            deadline = time.monotonic() + 60
            while process.is_alive() and len(server.answered) < 12 * share and time.monotonic() < deadline:
                time.sleep(0.002)
            process.kill()
            process.join()
            written = journal.read_bytes().count(b"\n")
            assert written >= len(set(server.answered)) - 8
        before = len(server.answered)
        summary = run.llm(server.uri, "resumed", endpoint={"concurrency": 8})
        wasted = len(server.answered) - len(set(server.answered))
    assert labels_by_turn(run.labelled("resumed")) == labels_by_turn(run.labelled("lexicon"))
    ids = [one.session.session_id for one in run.labelled("resumed")]
    assert ids == [one.session.session_id for one in run.labelled("lexicon")]
    assert 0 <= wasted <= 2 * 8
    assert summary["llm"]["answers_resumed"] >= before - 2 * 8
    assert summary["llm"]["answers"] == len(set(server.answered))


def test_a_spent_budget_stops_the_stage_and_a_larger_one_goes_on(run: LabelRun, scribe: LexiconModel) -> None:
    with LlmServer(scribe, latency=0.005) as server:
        with pytest.raises(StageError, match=r"spec\.label\.llm\.budget\.requests = 40 is spent") as caught:
            run.llm(server.uri, budget={"requests": 40})
        assert caught.value.reason == "BudgetSpent"
        assert len(server.answered) == 40  # the requests under way were allowed to end
        run.llm(server.uri, budget={"requests": 4000})
    assert labels_by_turn(run.labelled()) == labels_by_turn(run.labelled("lexicon"))
    assert len(server.answered) == len(set(server.answered))


def test_a_refused_key_stops_the_stage_at_once(run: LabelRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-expired")
    with (
        LlmServer(lambda asked: Status(401, {"error": {"message": "expired"}}), latency=0.01) as server,
        pytest.raises(StageError, match=r"spec\.label\.llm\.endpoint: .*401: expired"),
    ):
        run.llm(server.uri, endpoint={"apiKeyEnv": "JUDGE_KEY", "concurrency": 4})
    assert len(server.requests) <= 4


def test_too_many_failures_stop_the_stage_with_their_reasons(run: LabelRun) -> None:
    with (
        LlmServer(lambda asked: Reply("no idea")) as server,
        pytest.raises(StageError, match="answer-not-json"),
    ):
        run.llm(server.uri)


def test_what_judges_dispute_is_quarantined_or_outvoted(run: LabelRun, scribe: LexiconModel) -> None:
    def ageless(extraction: dict[str, Any]) -> None:
        extraction["items"] = [one for one in extraction["items"] if one["field"] != "age"]

    expected = labels_by_turn(run.labelled("lexicon"))
    with LlmServer(scribe) as right, LlmServer(spoiled(scribe, ageless)) as blind, LlmServer(scribe) as third:
        judges = [{"uri": one.uri, "model": "m"} for one in (blind, third)]
        run.llm(right.uri, "majority", judges=judges)
        summary = run.llm(
            right.uri, "unanimous", judges=judges[:1], agreement="unanimous", maxFailedShare=1.0
        )
        assert len(right.requests) == len(blind.requests) == len(third.requests)
    assert labels_by_turn(run.labelled("majority")) == expected
    assert {entry["reason"] for entry in run.quarantine("unanimous")} == {"judges-disagree"}
    disputed = {(entry["session_id"], entry["turn"]) for entry in run.quarantine("unanimous")}
    assert disputed >= {at for at, (_, asked, goal) in expected.items() if "age" in asked | set(goal)}
    assert labels_by_turn(run.labelled("unanimous")) == {
        at: one for at, one in expected.items() if at not in disputed
    }
    assert summary["llm"]["models"] == ["m", "m"]


BIKES = Pack.model_validate(
    {
        "name": "bikes",
        "roles": {"user": "rider", "expert": "mechanic"},
        "tasks": [
            {
                "name": "default",
                "fields": [
                    {"name": "bike", "patterns": ["which bike"], "answerPatterns": ["(city|race) bike"]},
                    {"name": "day", "patterns": ["which day"], "answerPatterns": ["(Monday|Friday)"]},
                ],
            }
        ],
    }
)


@pytest.mark.parametrize("per_session", [False, True])
def test_without_end_markers_the_model_says_where_the_expert_acts(tmp_path: Path, per_session: bool) -> None:
    def chat(session_id: str, *contents: str) -> dict[str, Any]:
        roles = ("user", "assistant")
        messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
        return {"session_id": session_id, "messages": messages}

    done = "Then I book you in. Anything else?"  # no rule mistakes a question for the act
    logs = [
        chat("done", "hi", "which bike?", "a city bike", "which day?", "Friday", done, "no, thanks", "Bye!"),
        chat("left", "hi", "which bike?", "a race bike", "which day?", "let me see"),
    ]
    for name, chats in (("logs", logs[:1]), ("test", logs[1:])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, chats)))
    run = LabelRun(tmp_path, logs=tmp_path / "logs.jsonl", pack=BIKES).prepare(tmp_path / "test.jsonl")
    with LlmServer(LexiconModel(BIKES, task="default", acts="I book you in")) as server:
        summary = run.llm(server.uri, perSession=per_session)
    bike, day = {"bike": "city"}, {"day": "friday"}
    assert labels_by_turn(run.labelled()) == {
        ("done", 0): ("continue", {"bike"}, bike | day),
        ("done", 1): ("continue", {"day"}, day),
        ("done", 2): ("stop", set(), {}),
        ("left", 0): ("continue", {"bike"}, {"bike": "race"}),
    }
    assert summary["stops_moved"] == 1
    assert {each.session.session_id: len(each.session.turns) for each in run.labelled()} == {
        "done": 3,
        "left": 2,
    }
