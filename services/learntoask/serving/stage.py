"""Stage `serve`: starts the policy that passed the gate and records a short demo conversation with it.

Publishes `policy.json` (what is served), `pack.json` (the domain pack it is served with) and `demo.json` (the
conversation). The server runs on a loopback port for the demo only; `lta serve` starts the long-lived one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from learntoask.client import CallFailed, Client
from learntoask.core.errors import StageError
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.core.stages.graph import pack_digests
from learntoask.policy.stopping import published_stopping
from learntoask.serving.config import config_of
from learntoask.serving.demo import demo_task
from learntoask.serving.process import local_server

_ANSWER_SECONDS = 600.0  # other stages may run on the same machine


def run(context: StageContext) -> StageSummary:
    """Run the stage. Raises StageError if the server does not answer."""
    pack = context.pack
    published_pack = context.out / "pack.json"
    _write(published_pack, pack.model_dump(mode="json", by_alias=True))
    trained = context.inputs["grpo"]
    config = config_of(
        context.spec,
        model=trained / "model",
        pack=published_pack,
        stopping=published_stopping(trained),
    )
    config = replace(config, host="127.0.0.1", port=0, deadline_seconds=_ANSWER_SECONDS)
    context.progress.update(0, len(pack.demo) + 1, "starting the policy server")
    with local_server(config) as server, Client(server.address, timeout=_ANSWER_SECONDS) as client:
        try:
            revision = client.server_info().policy_revision
            turns = _hold_demo(client, context)
        except CallFailed as error:
            raise StageError(f"the policy server did not answer the demo conversation: {error}") from error
    task = demo_task(pack)
    _write(context.out / "demo.json", {"task": task, "revision": revision, "turns": turns})
    _write(
        context.out / "policy.json",
        {
            "revision": revision,
            "pack": pack.name,
            "packDigest": pack_digests(pack)["whole"],
            "tasks": [task.name for task in pack.tasks],
            "defaultTask": pack.default_task,
            "mayStop": config.may_stop,
            "assessment": config.assessment,
            "stopThreshold": config.stop_threshold,
            "stopTemperature": config.stop_temperature,
            "repeat": config.repeat,
            "maxPromptTokens": config.max_prompt_tokens,
            "maxNewTokens": config.max_new_tokens,
        },
    )
    return {"revision": revision, "demo_turns": len(turns), "tasks": len(pack.tasks)}


def _hold_demo(client: Client, context: StageContext) -> list[JsonValue]:
    """Send the pack's demo messages until the policy stops, and return messages and answers."""
    pack = context.pack
    turns: list[JsonValue] = []
    with client.converse(task=demo_task(pack), conversation_id="demo") as conversation:
        for number, text in enumerate(pack.demo, 1):
            decision = conversation.say(text)
            turns.append({"role": pack.roles.user, "text": text})
            turns.append(
                {
                    "role": "policy",
                    "text": decision.message.content,
                    "stop": decision.stop,
                    "stopProbability": round(decision.stop_probability, 6),
                    "origin": decision.origin,
                }
            )
            context.progress.update(number, len(pack.demo), "demo conversation")
            if decision.stop:
                break
    return turns


def _write(path: Path, value: JsonValue) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
