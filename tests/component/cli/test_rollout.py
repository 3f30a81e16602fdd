"""`lta rollout` on the files of a gateway: what it shows, which orders it gives, and what it computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from learntoask.cli.rollout.commands import rollout
from learntoask.core.errors import InputError
from learntoask.core.records import Message
from learntoask.core.status.rollout import JudgedPairs, RolloutFile
from learntoask.review.queue import ReviewQueue
from learntoask.review.storage.factory import open_queue_storage
from learntoask.rollout.decide import begin, decide
from learntoask.serving.rollout.controller import read_strategy
from learntoask.serving.rollout.file import orders_path, read_orders, state_path, write
from learntoask.serving.rollout.pairs import Pair, PolicyAnswer
from learntoask.store.address import StoreAddress
from worlds.rollout import counted

STRATEGY = """
mode: canary
steps: [{weight: 10}, {weight: 50}]
guards: [{metric: abandoned}]
"""


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    path = tmp_path / "rollout.yaml"
    path.write_text(STRATEGY)
    return path


def begun(strategy: Path, *, canary: tuple[int, int], control: tuple[int, int]) -> None:
    """Write the state that a gateway has after these counts (events, conversations)."""
    settings = read_strategy(strategy)
    state = begin(settings, id="r1", stable="old", canary="new", now=0.0)
    state = decide(settings, state, counted(canary, control, calls=7), now=86_400.0)
    write(state_path(strategy), RolloutFile(strategy=settings, state=state))


def write_pairs(path: Path, *said: str) -> None:
    """Write a conversation for each text, which the canary does not answer as the control does."""
    found = [
        Pair(
            rollout="r1",
            conversation=f"c{number}",
            task="default",
            messages=(Message(role="user", content=text, author="user"),),
            control=PolicyAnswer(answer="Since when?", policy_revision="old"),
            canary=PolicyAnswer(answer="<stop />", policy_revision="new"),
            extra_faults=1,
        )
        for number, text in enumerate(said)
    ]
    path.write_text("".join(pair.model_dump_json() + "\n" for pair in found))


def run(*arguments: object) -> str:
    result = CliRunner().invoke(rollout, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_status_shows_both_arms_the_evidence_and_what_is_waited_for(strategy: Path) -> None:
    begun(strategy, canary=(4, 40), control=(40, 360))
    shown = run("status", strategy)
    assert "Hold: about" in shown
    for part in ("today's traffic", "10.0%", "11.1%", "abandoned", "old", "new", "360"):
        assert part in shown
    found = json.loads(run("status", strategy, "--json"))
    assert (found["verdict"], found["weight"], found["stage"]) == ("Hold", 10, "Steps")


def test_orders_are_for_this_rollout_and_end_with_it(strategy: Path) -> None:
    begun(strategy, canary=(4, 40), control=(40, 360))
    for command, paused, order in (
        ("pause", True, None),
        ("resume", False, None),
        ("promote", False, "promote"),
        ("abort", False, "abort"),
    ):
        run(command, strategy)
        given = read_orders(state_path(strategy))
        assert (given.paused, given.order, given.id) == (paused, order, "r1")
    begun(strategy, canary=(20, 40), control=(20, 360))
    with pytest.raises(InputError, match="rollout r1 is over: HarmShown"):
        run("abort", strategy)


def test_without_a_gateway_the_error_says_how_to_start_one(strategy: Path) -> None:
    with pytest.raises(InputError, match="lta gateway --server"):
        run("status", strategy)
    assert not orders_path(state_path(strategy)).exists()


def test_a_strategy_that_tries_nothing_is_refused(strategy: Path) -> None:
    strategy.write_text("mode: replace\n")
    with pytest.raises(InputError, match="give shadow, canary or ab"):
        run("simulate", strategy, "--per-day", 10)


def test_simulate_says_how_long_it_takes(strategy: Path) -> None:
    arguments = ["--per-day", 1000, "--rate", "abandoned=0.1,0.6", "--runs", 5]
    assert "Rollback" in run("simulate", strategy, *arguments)


@pytest.mark.parametrize(
    ("rate", "finding"),
    [("repaired=1,1", "no guard 'repaired'"), ("abandoned=1", "two chances"), ("abandoned=0,2", "between")],
)
def test_a_wrong_rate_is_explained(strategy: Path, rate: str, finding: str) -> None:
    with pytest.raises(InputError, match=finding):
        run("simulate", strategy, "--per-day", 10, "--rate", rate)


def test_the_page_escapes_what_users_said(strategy: Path, tmp_path: Path) -> None:
    begun(strategy, canary=(4, 40), control=(40, 360))
    write_pairs(tmp_path / "pairs.jsonl", "<script>alert(1)</script>")
    run("report", strategy, "--pairs", tmp_path / "pairs.jsonl", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "http" not in page
    assert "polyline" in page


def test_people_judge_copies_and_the_rollout_hears_of_it(strategy: Path, tmp_path: Path) -> None:
    begun(strategy, canary=(4, 40), control=(40, 360))
    pack = tmp_path / "pack.yaml"
    pack.write_text("{name: desk, tasks: [{name: default, fields: [{name: duration}]}]}")
    pairs = tmp_path / "pairs.jsonl"
    write_pairs(pairs, "hi", "hello")
    arguments = ["judge", strategy, pairs, "--pack", pack, "--queue", tmp_path, "--no-page"]
    assert "nobody has judged" in run(*arguments)
    run("pause", strategy)
    queue = ReviewQueue(open_queue_storage(StoreAddress(uri=str(tmp_path)), "rollout-r1"), name="rollout-r1")
    item = queue.next_item("ann")
    assert item is not None
    asked = queue.item(item)
    assert asked is not None
    stop = next(choice.key for choice in asked.choices if choice.text == "Ask nothing more")
    queue.answer(item, "ann", (stop,), seconds=5.0)
    assert "judged 1 of 2" in " ".join(run(*arguments).split())
    given = read_orders(state_path(strategy))
    assert (given.paused, given.judged) == (True, JudgedPairs(id="r1", better=1))
    write_pairs(pairs)
    with pytest.raises(InputError, match="no answers of rollout r1 that differ"):
        run(*arguments)


def test_replay_finds_the_verdict_of_recorded_conversations(strategy: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack.yaml"
    pack.write_text("{name: desk, tasks: [{name: default, fields: [{name: duration}]}]}")
    lines = []
    for number in range(80):
        canary = number % 2 == 0
        record = {
            "session_id": f"c{number}/q",
            "messages": [
                {"role": "user", "content": "hi", "author": "user"},
                {
                    "role": "assistant",
                    "content": "Since when?" if canary else "<stop />",
                    "author": "policy",
                },
            ],
            "served": {
                "decisions": [
                    {
                        "message": 1,
                        "action": "ask" if canary else "stop",
                        "origin": "model",
                        "age": 0.1,
                        "failed": False,
                    }
                ],
                "rollout": {
                    "id": "r1",
                    "conversation": f"c{number}",
                    "task": "default",
                    "arm": "canary" if canary else "control",
                    "weight": 50,
                    "born": 1000.0 + number,
                    "compared": True,
                    "moved": False,
                },
            },
        }
        lines.append(json.dumps(record))
    records = tmp_path / "conversations.jsonl"
    records.write_text("\n".join(lines) + "\n")
    shown = run("replay", records, "--strategy", strategy, "--pack", pack)
    assert "Rollback: abandoned: 100.0%" in shown
    found = json.loads(run("replay", records, "--strategy", strategy, "--pack", pack, "--json"))
    assert found["r1"]["conversations"] == 80
    assert 0 < found["r1"]["endsAt"] < 40
