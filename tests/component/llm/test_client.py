"""The client against a fake server with all kinds of failures."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.errors import InputError, StageError
from learntoask.core.manifest import Budget, Endpoint
from learntoask.llm.client import DENIED, GIVEN_UP, LlmClient
from learntoask.llm.journal import ReplyJournal
from learntoask.llm.spending import Spending
from learntoask.llm.structured_output import Form, ModelReply, NoAnswer, NoAnswerReason
from worlds.llm.server import DRIP, HANG, RESET, LlmServer, Outcome, ReceivedRequest, Reply, Status
from worlds.proxy import proxy

KEY = "sk-very-secret-1234"


class Sum(Form):
    total: int


def right(asked: ReceivedRequest) -> Reply:
    numbers = asked.body["messages"][-1]["content"].split("+")
    return Reply(json.dumps({"total": sum(map(int, numbers))}))


def after(*first: Outcome) -> Any:
    """Return a script that answers with `first`, one after the other, and then with the right answer."""
    return lambda asked: first[asked.attempt] if asked.attempt < len(first) else right(asked)


def client_of(uri: str, *, budget: Any = None, journal: Path | None = None, **endpoint: Any) -> LlmClient:
    settings = {"uri": uri, "model": "m", "timeout": "1m", "retryFor": "3m", **endpoint}
    return LlmClient(
        Endpoint.model_validate(settings),
        spending=Spending(Budget.model_validate(budget or {}), where="spec.label.llm.budget"),
        where="spec.label.llm.endpoint",
        journal=ReplyJournal(journal) if journal else None,
    )


async def ask(client: LlmClient, *questions: str) -> list[ModelReply[Sum] | NoAnswer]:
    try:
        return await asyncio.gather(*(_one(client, question) for question in questions))
    finally:
        await client.close()


def _one(client: LlmClient, question: str) -> Any:
    return client.complete([{"role": "user", "content": question}], form=Sum)


def totals(answers: Sequence[ModelReply[Sum] | NoAnswer]) -> list[int | NoAnswerReason]:
    return [answer.parsed.total if isinstance(answer, ModelReply) else answer.reason for answer in answers]


async def test_an_answer_of_the_form_and_what_it_cost() -> None:
    prices = {"prompt": 2.0, "cachedPrompt": 0.5, "completion": 10.0}
    with LlmServer(right) as server:
        client = client_of(server.uri, prices=prices, seed=7, parameters={"top_k": 1, "max_tokens": None})
        assert totals(await ask(client, "1+2", "3+4")) == [3, 7]
    body = server.requests[0].body
    assert (body["temperature"], body["seed"], body["top_k"], body["model"]) == (0, 7, 1, "m")
    assert "max_tokens" not in body
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["response_format"]["json_schema"]["schema"]["additionalProperties"] is False
    counts = client._spending.counts()
    assert (counts["requests"], counts["prompt_tokens"], counts["cached_prompt_tokens"]) == (2, 200, 120)
    assert counts["cost"] == pytest.approx(2 * (40 * 2 + 60 * 0.5 + 10 * 10) / 1e6)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Reply("I would rather talk about the weather."), NoAnswerReason.NOT_JSON),
        (Reply('{"total": 1'), NoAnswerReason.NOT_JSON),
        (Reply('{"total": 1', finish="length"), NoAnswerReason.CUT),
        (Reply(""), NoAnswerReason.EMPTY),
        (Reply(None), NoAnswerReason.EMPTY),
        (Reply("", refusal="I cannot help with that"), NoAnswerReason.REFUSED),
        (Reply("{}", finish="content_filter"), NoAnswerReason.REFUSED),
        (Reply('{"total": "many"}'), NoAnswerReason.WRONG_FORM),
        (Reply('{"total": 3, "sure": true}'), NoAnswerReason.WRONG_FORM),
        (Reply("[3]"), NoAnswerReason.WRONG_FORM),
    ],
)
async def test_what_is_no_answer_is_told_apart_and_not_asked_again(
    outcome: Reply, reason: NoAnswerReason
) -> None:
    with LlmServer(lambda asked: outcome) as server:
        assert totals(await ask(client_of(server.uri), "1+2")) == [reason]
    assert len(server.requests) == 1


async def test_requests_go_through_the_proxy_of_the_environment_and_never_on_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LlmServer(right) as server, proxy(llm=int(server.uri.split(":")[2].split("/")[0])) as running:
        monkeypatch.setenv("HTTP_PROXY", running.url)
        path = server.uri.split("/", 3)[3]
        assert totals(await ask(client_of(f"http://llm.example/{path}"), "1+2")) == [3]
        assert running.seen == [("POST", "llm.example")]
        assert totals(await ask(client_of(server.uri), "1+2")) == [3]
        assert len(running.seen) == 1


async def test_an_answer_in_a_fence_is_one() -> None:
    with LlmServer(lambda asked: Reply('```json\n{"total": 3}\n```')) as server:
        assert totals(await ask(client_of(server.uri), "1+2")) == [3]


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        ([Status(500)], "500"),
        ([Status(503, b"<html>no backend</html>"), Status(503)], "503"),
        ([Status(429, {"error": {"message": "slow down"}})], "429"),
        ([Status(200, {"error": {"message": "upstream is gone", "code": 502}})], "error-in-body"),
        ([Status(200, {"error": "upstream is gone"})], "error-in-body"),
        ([Status(200, {"choices": [{"finish_reason": "error", "message": {}}]})], "error-in-body"),
        ([Status(200, {"object": "error", "message": "engine died"})], "error-in-body"),
        ([Status(200, b"<html>log in first</html>")], "unreadable"),
        ([Status(200, {"choices": []})], "unreadable"),
        ([RESET], "connection"),
        ([HANG], "timeout"),
        ([DRIP], "timeout"),
    ],
)
async def test_a_fault_is_tried_again_and_counted(faults: list[Outcome], kind: str) -> None:
    with LlmServer(after(*faults)) as server:
        client = client_of(server.uri, timeout="2s" if kind == "timeout" else "1m")
        assert totals(await ask(client, "1+2")) == [3]
    assert client._spending.faults == {kind: len(faults)}


@pytest.mark.parametrize("headers", [{"retry-after": "1"}, {"retry-after-ms": "1000"}])
async def test_the_wait_that_a_server_asks_for_is_kept(headers: dict[str, str]) -> None:
    times: list[float] = []

    def script(asked: ReceivedRequest) -> Outcome:
        times.append(time.monotonic())
        return after(Status(429, headers=headers))(asked)

    with LlmServer(script) as server:
        assert totals(await ask(client_of(server.uri), "1+2")) == [3]
    assert times[1] - times[0] >= 1.0


async def test_a_wait_beyond_all_patience_is_not_begun() -> None:
    begun = time.monotonic()
    with LlmServer(lambda asked: Status(429, headers={"retry-after": "3600"})) as server:
        (answer,) = await ask(client_of(server.uri), "1+2")
    assert isinstance(answer, NoAnswer)
    assert answer.reason is NoAnswerReason.UNAVAILABLE
    assert "asks to wait 3600 s" in answer.message
    assert time.monotonic() - begun < 30


async def test_what_is_denied_is_not_tried_again() -> None:
    too_long = Status(400, {"error": {"message": "this model's maximum context length is 4096 tokens"}})
    with LlmServer(
        lambda asked: too_long if "9" in asked.body["messages"][0]["content"] else right(asked)
    ) as server:
        answers = await ask(client_of(server.uri), "1+2", "9+9")
    assert totals(answers) == [3, NoAnswerReason.DENIED]
    assert len(server.requests) == 2
    denied = answers[1]
    assert isinstance(denied, NoAnswer)
    assert "maximum context length" in denied.message


@pytest.mark.parametrize(
    "outcome",
    [
        Status(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}),
        Status(200, {"error": {"message": f"bad key {KEY}", "code": 401}}),
        Status(404, {"error": {"message": "The model `m` does not exist"}}),
        Status(429, {"error": {"message": "you have no money left", "code": "insufficient_quota"}}),
        Status(302, headers={"location": "https://login.example"}),
    ],
)
async def test_what_every_request_would_meet_ends_it_at_once(
    outcome: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    refused = pytest.raises(StageError, match=r"spec\.label\.llm\.endpoint: http.* refuses")
    with LlmServer(lambda asked: outcome) as server, refused as caught:
        await ask(client_of(server.uri, apiKeyEnv="JUDGE_KEY"), "1+2")
    assert caught.value.reason == "EndpointRefused"
    assert len(server.requests) == 1
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(caught.value)


async def test_a_request_that_every_server_denies_is_a_fault_of_the_settings() -> None:
    denial = Status(400, {"detail": "response_format is not supported"})
    with LlmServer(lambda asked: denial) as server, pytest.raises(StageError, match=denial.body["detail"]):
        await ask(client_of(server.uri), *(f"1+{n}" for n in range(DENIED)))


async def test_an_outage_ends_it_once_patience_is_over() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        begun = time.monotonic()
        with pytest.raises(StageError, match=f"none of the last {GIVEN_UP} requests.*ConnectError") as caught:
            await ask(client_of(uri, retryFor="2s"), *(f"1+{n}" for n in range(GIVEN_UP)))
    assert caught.value.reason == "EndpointUnavailable"
    assert 1 < time.monotonic() - begun < 20


async def test_a_poisonous_request_does_not_end_the_others() -> None:
    def script(asked: ReceivedRequest) -> Outcome:
        return Status(500) if asked.body["messages"][0]["content"] == "6+6" else right(asked)

    with LlmServer(script) as server:
        answers = await ask(client_of(server.uri, retryFor="1s"), *(f"{n}+{n}" for n in range(12)))
    assert totals(answers) == [NoAnswerReason.UNAVAILABLE if n == 6 else 2 * n for n in range(12)]


async def test_as_many_at_once_as_allowed_and_fewer_where_the_server_refuses() -> None:
    with LlmServer(right, latency=0.1) as server:
        await ask(client_of(server.uri, concurrency=5), *(f"1+{n}" for n in range(40)))
        assert server.most_at_once == 5

    def narrow(
        asked: ReceivedRequest,
    ) -> Outcome:  # accepts four requests at once, like a server behind a quota
        return Status(429) if server.at_once > 4 else right(asked)

    with LlmServer(narrow, latency=0.1) as server:
        client = client_of(server.uri, concurrency=32)
        answers = await ask(client, *(f"1+{n}" for n in range(100)))
    assert totals(answers) == [1 + n for n in range(100)]
    assert client._slots.limit.value < 12


async def test_a_budget_ends_it_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    questions = [f"1+{n}" for n in range(10)]
    with LlmServer(right) as server:
        for budget, reason in (({"requests": 4}, "requests = 4"), ({"tokens": 700}, "tokens = 700")):
            client = client_of(server.uri, journal=tmp_path / "a.jsonl", concurrency=1, budget=budget)
            with pytest.raises(StageError, match=f"budget.{reason} is spent") as caught:
                await ask(client, *questions)
            assert caught.value.reason == "BudgetSpent"
        assert len(server.answered) == 7  # 110 tokens each
        answers = await ask(client_of(server.uri, journal=tmp_path / "a.jsonl"), *questions)
    assert totals(answers) == [1 + n for n in range(10)]
    assert len(server.answered) == len(set(server.answered)) == 10


async def test_a_budget_of_tokens_needs_a_server_that_counts_them() -> None:
    with LlmServer(lambda asked: Reply('{"total": 3}', usage=None)) as server:
        assert totals(await ask(client_of(server.uri), "1+2")) == [3]
        with pytest.raises(StageError, match="reports no token usage") as caught:
            await ask(client_of(server.uri, budget={"tokens": 9}), "1+2")
    assert caught.value.reason == "UsageUnknown"


async def test_a_key_from_a_file_may_rotate_and_never_reaches_the_journal(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    with LlmServer(right) as server:
        client = client_of(server.uri, apiKeyFile=str(key), journal=tmp_path / "a.jsonl")
        await _one(client, "1+2")
        key.write_text("sk-rotated")
        await ask(client, "3+4")
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == [f"Bearer {KEY}", "Bearer sk-rotated"]
    assert "sk-" not in (tmp_path / "a.jsonl").read_text()


def test_a_missing_key_is_named_and_a_wrong_one_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(
        InputError, match=r"endpoint\.apiKeyEnv: environment variable JUDGE_KEY is empty or not set"
    ):
        client_of("http://h/v1", apiKeyEnv="JUDGE_KEY")
    with pytest.raises(InputError, match=r"endpoint\.apiKeyFile: .*none cannot be read"):
        client_of("http://h/v1", apiKeyFile=str(tmp_path / "none"))
    monkeypatch.setenv("JUDGE_KEY", f"{KEY}\nX-Evil: yes")
    with pytest.raises(InputError, match="does not hold an API key") as caught:
        client_of("http://h/v1", apiKeyEnv="JUDGE_KEY")
    assert KEY not in str(caught.value)
