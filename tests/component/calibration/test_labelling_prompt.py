"""The prompt of a labeller with a language model, revised by the stage calibrate against a real HTTP server."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from learntoask.calibration.revise.prompts import BULLETS
from learntoask.core.digest import folder_digest
from learntoask.core.errors import StageError
from learntoask.core.json_lines import read_records
from learntoask.core.records import LabelledSession
from learntoask.review.records import ITEMS_FILE, ReviewItem
from worlds.calibration_run import PACK, RUNS, items_of, publish_answers, stage_context
from worlds.llm.labelling import labels_by_turn
from worlds.llm.server import LexiconModel, LlmServer, Reply

PROMPT = PACK.prompts.micro_goal
SEVERAL = BULLETS[1]
OVERLOOKED = tuple(field.name for field in PACK.task("remedy").fields)[::2]
MODEL = LexiconModel(PACK, task="remedy")


def prompt_in(asked) -> str:
    return asked.body["messages"][0]["content"]


def careless(*, unless: str):
    """A labeller that overlooks half of the fields, unless its prompt holds some words."""

    def script(asked):
        found = MODEL.extraction(asked)
        if unless not in prompt_in(asked):
            found["items"] = [item for item in found["items"] if item["field"] not in OVERLOOKED]
        return Reply(json.dumps(found))

    return script


def erratic(asked):
    """A labeller that overlooks a sixth of the questions, other ones with every prompt."""
    found = MODEL.extraction(asked)
    found["items"] = [
        item
        for item in found["items"]
        if hashlib.sha256(f"{prompt_in(asked)} {item} {asked.question}".encode()).digest()[0] > 42
    ]
    return Reply(json.dumps(found))


def stage(folder: Path, name: str, uri: str, *, budget=None, **calibrate):
    llm = {"endpoint": {"uri": uri, "model": "m"}, "perSession": True, "budget": budget or {}}
    return stage_context(
        folder,
        name,
        dataset={"maxSessions": 40},
        label={"method": "llm", "llm": llm},
        calibrate={"budget": 60, **calibrate},
    )


@pytest.fixture(scope="module")
def reviewed_run(tmp_path_factory) -> Path:
    """The folder of a run that the careless labeller has labelled and that people have reviewed."""
    folder = tmp_path_factory.mktemp("run")
    with LlmServer(careless(unless=SEVERAL)) as server:
        for name in ("prepare", "label", "grader", "draw"):
            RUNS[name](stage(folder, name, server.uri))
    publish_answers(folder / "review", items_of(folder))
    return folder


@pytest.fixture
def run(reviewed_run: Path, tmp_path: Path) -> Path:
    for output in ("prepare", "label", "grader", "draw", "review"):
        (tmp_path / output).symlink_to(reviewed_run / output)
    return tmp_path


def labels(folder: Path, *, split: str):
    found = list(read_records(folder / "labelled.jsonl", LabelledSession))
    return labels_by_turn([one for one in found if one.session.split == split])


def right_labels(run: Path, *, split: str):
    """The labels of a labeller that overlooks nothing."""
    with LlmServer(MODEL) as server:
        context_ = stage(run / "right", "label", server.uri)
        (run / "right" / "prepare").symlink_to(run / "prepare")
        RUNS["label"](context_)
    return labels(context_.out, split=split)


def test_a_bullet_that_mends_the_labeller_is_accepted_and_all_sessions_are_labelled_again(run):
    with LlmServer(careless(unless=SEVERAL)) as server:
        done = stage(run, "calibrate", server.uri)
        record = RUNS["calibrate"](done)["calibration"]
    (tried,) = [one for one in record["revisions"] if "labeller" in one["what"]]
    assert tried["outcome"] == "accepted"
    assert tried["what"] == f"prompt of the labeller: 1 bullets ({SEVERAL})"
    search = [one for one in read_records(run / "draw" / ITEMS_FILE, ReviewItem) if one.split == "search"]
    assert set(tried["because"]) <= {one.digest for one in search}
    assert (run / "label" / "labelled.jsonl").read_bytes() != (done.out / "labelled.jsonl").read_bytes()
    # Those that people correct are training sessions.
    assert (
        labels(done.out, split="test")
        == right_labels(run, split="test")
        != labels(run / "label", split="test")
    )
    before, after = (
        record["agreement"][when]["asks_for"]["labeller"]["kappa"] for when in ("before", "after")
    )
    assert before < 0.6
    assert after > 0.9
    assert folder_digest(done.out / "rewarding") != folder_digest(run / "grader" / "rewarding")
    revised = yaml.safe_load((done.out / "revised.yaml").read_text(encoding="utf-8"))
    assert revised == {"prompts": {"microGoal": f"{PROMPT}\n- {SEVERAL}"}}


def test_a_candidate_that_is_not_chosen_costs_the_search_sessions_only(run):
    with LlmServer(careless(unless=SEVERAL)) as server:
        RUNS["calibrate"](stage(run, "calibrate", server.uri))
        questions = defaultdict(set)
        for asked in server.requests:
            questions[prompt_in(asked)].add(asked.question)
        assert all(asked.attempt == 0 for asked in server.requests)
    items = read_records(run / "draw" / ITEMS_FILE, ReviewItem)
    search = {
        one.origin.session_id
        for one in items
        if one.split == "search" and one.kind == "asks_for" and one.why != "known"
    }
    costs = sorted(len(asked) for asked in questions.values())
    assert len(costs) == 1 + len(BULLETS)
    assert costs[:-2] == [len(search)] * (len(BULLETS) - 1)
    assert costs[-1] == 40  # all sessions, with the accepted prompt


def test_the_budget_is_for_all_candidates_and_a_larger_one_goes_on_to_the_same_bytes(run):
    with LlmServer(careless(unless=SEVERAL)) as server:
        for requests in (20, 65):
            with pytest.raises(StageError, match=rf"budget\.requests = {requests} is spent"):
                RUNS["calibrate"](stage(run, "calibrate", server.uri, budget={"requests": requests}))
            assert len(server.requests) == requests
        resumed = stage(run, "calibrate", server.uri)
        RUNS["calibrate"](resumed)
        assert all(asked.attempt == 0 for asked in server.requests)
        (run / "calibrate").rename(run / "resumed")
        (run / "calibrate-work").rename(run / "resumed-work")
        whole = stage(run, "calibrate", server.uri)
        RUNS["calibrate"](whole)
    assert folder_digest(run / "resumed") == folder_digest(whole.out)


def test_a_rewrite_by_the_proposer_is_accepted_where_no_bullet_helps(run):
    rewritten = f"{PROMPT}\nGo through the fields one by one."
    writer = LlmServer(lambda _: Reply(json.dumps({"reason": "it overlooks fields", "prompt": rewritten})))
    with LlmServer(careless(unless="one by one")) as server, writer:
        proposer = {"uri": writer.uri, "model": "writer"}
        done = stage(run, "calibrate", server.uri, proposer=proposer)
        record = RUNS["calibrate"](done)["calibration"]
        (request,) = writer.requests
    assert "The labeller found: " in request.body["messages"][1]["content"]
    (tried,) = [one for one in record["revisions"] if "labeller" in one["what"]]
    assert (tried["what"], tried["outcome"]) == ("prompt of the labeller: rewritten by writer", "accepted")
    assert labels(done.out, split="test") == right_labels(run, split="test")


def test_a_prompt_that_is_better_on_some_answers_by_chance_is_not_accepted(run):
    with LlmServer(erratic) as server:
        done = stage(run, "calibrate", server.uri)
        record = RUNS["calibrate"](done)["calibration"]
    (tried,) = [one for one in record["revisions"] if "labeller" in one["what"]]
    assert tried["outcome"] == "rejected"
    assert labels(done.out, split="test") == labels(run / "label", split="test")
    assert not (done.out / "revised.yaml").exists()
