"""Records that a gateway sends to a bucket, on a real MinIO server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from learntoask.client import AsyncClient, user
from worlds.gateway import gateway, samples, write_pack
from worlds.minio import minio_server
from worlds.serving import ScriptedEngine, serving
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
