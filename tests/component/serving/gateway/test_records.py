"""Records of a gateway: sent to a bucket, on a real MinIO server, and made into logs for the next run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from learntoask.cli.data import data
from learntoask.client import AsyncClient, assistant, user
from learntoask.core.manifest import Dataset
from learntoask.labeling.logs.reader import LogReader
from worlds.gateway import gateway, samples, write_pack
from worlds.minio import minio_server
from worlds.serving import PACK, ScriptedEngine, serving
from worlds.waiting import until


@pytest.mark.timeout(900)
async def test_records_arrive_in_the_bucket_and_leave_the_disk(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    records = tmp_path / "records"
    settings = {"records": records, "records_uri": "s3://lta/served/desk", "records_seconds": 0.3}
    with minio_server(tmp_path_factory.mktemp("minio")) as server:
        for name, value in {**server.environment, "LTA_STORE_ENDPOINT": server.endpoint}.items():
            monkeypatch.setenv(name, value)

        def sent() -> list[dict]:
            keys = [entry.key for entry in server.bucket().entries("served/desk/")]
            texts = [server.bucket().read(key)[0] for key in keys]
            return [json.loads(line) for text in texts for line in text.splitlines()]

        async with serving(ScriptedEngine()) as policy:
            async with (
                gateway(write_pack(tmp_path), policy.address, **settings) as front,
                AsyncClient(front.address) as client,
            ):
                await client.decide([user("first")])
                await until(sent, seconds=60)
                assert not list(records.iterdir())
                await client.decide([user("left open")], conversation_id="c")
            assert samples(front, "lta_gateway_record_files_sent_total") == {(): 2.0}
        said = sorted(record["messages"][0]["content"] for record in sent())
        assert said == ["first", "left open"]  # the open conversation was written and sent at the end


@pytest.mark.timeout(900)
async def test_what_the_store_does_not_take_is_counted_and_stays_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "whatever")
    monkeypatch.setenv("LTA_STORE_ENDPOINT", "http://127.0.0.1:1")
    records = tmp_path / "records"
    settings = {"records": records, "records_uri": "s3://lta/served", "records_seconds": 60}
    async with serving(ScriptedEngine()) as policy:
        async with (
            gateway(write_pack(tmp_path), policy.address, **settings) as front,
            AsyncClient(front.address) as client,
        ):
            assert (await client.decide([user("hi")])).origin == "model"
        assert samples(front, "lta_gateway_record_sending_failures_total") == {(): 1.0}
    assert len(list(records.iterdir())) == 1


async def test_an_outcome_that_comes_late_is_in_the_session_that_the_next_run_reads(tmp_path: Path):
    taken_over = [user("it hurts"), assistant("Since when?", author="expert"), user("monday")]
    async with serving(ScriptedEngine()) as policy:
        for day in ("monday", "tuesday"):  # two gateways
            async with (
                gateway(write_pack(tmp_path), policy.address, records=tmp_path / day) as front,
                AsyncClient(front.address) as client,
            ):
                decision = await client.decide(taken_over, conversation_id="visit/17")
                taken_over += [decision.message, user("thanks")]
                if day == "tuesday":
                    await client.report_outcome("visit/17", "booked", "yes")
                    await client.report_outcome("visit/17", "rating", 4.5)
    files = [str(path) for path in tmp_path.glob("*day/*.jsonl")]
    assert len(files) == 3
    logs = tmp_path / "logs.jsonl"
    done = CliRunner().invoke(data, ["served", *files, "--out", str(logs)], catch_exceptions=False)
    assert (done.exit_code, "1 sessions, 1 of them with outcomes" in done.output) == (0, True), done.output
    (entry,) = LogReader(PACK, Dataset(uri=str(logs))).read(logs)
    assert entry.session is not None
    assert [message.author for message in entry.session.messages][:3] == ["user", "expert", "user"]
    assert len(entry.session.messages) == 6
    assert entry.session.extras["outcomes"] == {"booked": "yes", "rating": 4.5}
