"""The judge's rubric, revised against a real HTTP server."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import Finding
from learntoask.calibration.revise.prompts import BULLETS, revise_rubric
from learntoask.core.errors import InputError
from learntoask.core.manifest import Endpoint, GraderSettings, Label
from learntoask.core.records import Message, Session, Turn
from learntoask.core.stages.contract import StageContext
from learntoask.grading.cues import NO_CUES
from learntoask.grading.judge.judge import keep_prompt, write_judge
from learntoask.grading.loader import load_grader
from learntoask.review.records import Choice, Origin, ReviewItem
from worlds.grader import PACK, WORDINGS
from worlds.llm.judge import fields_in, judgement_reply, marks, needed, perfect, question, settings
from worlds.llm.server import LlmServer, Reply

SEVERAL = BULLETS[1]
NAMES = tuple(field.name for field in PACK.task("bus").fields)


def hasty(asked):
    """A judge that finds one field, unless the rubric says that there can be several."""
    rubric = asked.body["messages"][0]["content"]
    found = fields_in(question(asked))
    if "several" not in rubric:
        found = found[:1]
    return judgement_reply(**marks(found, needed(asked)))


def world(split: str, count: int = 8):
    """Questions that ask for two fields each, with the answers of people."""
    answered, findings, sessions = [], {}, {}
    pairs = list(zip(WORDINGS, list(WORDINGS)[1:], strict=False))
    for number in range(count):
        first, second = pairs[number % len(pairs)]
        text = f"{WORDINGS[first][number % 2]} {WORDINGS[second][number % 2]}"
        name = f"{split}-{number}"
        messages = (
            Message(role="user", content="I need a bus.", author="user"),
            Message(role="assistant", content=text, author="expert"),
        )
        sessions[name] = Session(
            session_id=name,
            split="train",
            task="bus",
            messages=messages,
            turns=(Turn(start=1, end=2),),
            end="completed",
            stop_turn=None,
        )
        findings[name, 0] = Finding(
            session_id=name, split="train", task="bus", turn=0, text=text, question=True
        )
        item = ReviewItem(
            kind="asks_for",
            task="bus",
            question="?",
            messages=messages,
            start=1,
            end=2,
            choices=tuple(Choice(key=key, text=key) for key in NAMES),
            several=True,
            origin=Origin(run="r", stage="label", output="o", session_id=name, turn=0),
            stratum="s",
            inclusion=1.0,
            split=split,
            why="audit",
        )
        answered.append(Answered(item, item.digest, {}, {key: key in (first, second) for key in NAMES}))
    return answered, findings, sessions


def revise(tmp_path, judge, *, proposer=None):
    worlds = {split: world(split) for split in ("show", "search", "anchor")}
    grader = GraderSettings(method="llm", llm=judge)
    context = StageContext(
        stage="calibrate",
        key="k",
        spec=SimpleNamespace(grader=grader, label=Label()),
        pack=PACK,
        inputs={},
        files={},
        out=tmp_path,
        work=tmp_path,
        progress=SimpleNamespace(update=lambda *_, **__: None),
    )
    return revise_rubric(
        context,
        judge,
        pack=PACK,
        show=worlds["show"][0],
        search=worlds["search"][0],
        anchor=worlds["anchor"][0],
        findings={key: one for _, found, _ in worlds.values() for key, one in found.items()},
        sessions={key: one for *_, found in worlds.values() for key, one in found.items()},
        proposer=proposer,
    )


def test_the_bullet_that_helps_is_chosen_and_no_other(tmp_path):
    with LlmServer(hasty) as server:
        found = revise(tmp_path, settings(server.uri))
    assert found is not None
    assert found.pack.prompts.judge == f"{PACK.prompts.judge}\n- {SEVERAL}"
    assert found.finds(("anchor-0", 0)) == {"departure_city", "destination"}
    assert len(found.because) == 8


def test_a_judge_that_makes_no_errors_keeps_its_rubric(tmp_path):
    with LlmServer(perfect) as server:
        assert revise(tmp_path, settings(server.uri)) is None


def test_replies_of_a_killed_attempt_are_not_asked_for_again(tmp_path):
    with LlmServer(hasty) as server:
        first = revise(tmp_path, settings(server.uri))
        asked = len(server.requests)
        again = revise(tmp_path, settings(server.uri))
        assert len(server.requests) == asked
    assert again.pack.prompts.judge == first.pack.prompts.judge


def stubborn(asked):
    """A judge whom only a rewritten rubric helps."""
    rubric = asked.body["messages"][0]["content"]
    found = fields_in(question(asked))
    return judgement_reply(**marks(found if "every single" in rubric else found[:1], needed(asked)))


@pytest.mark.parametrize(
    ("sentence", "accepted"),
    [
        ("Name every single field.", True),
        ("Name every single field, as in Where are you leaving from?", False),
    ],
)
def test_a_rewrite_by_another_model_is_taken_unless_it_repeats_an_example(tmp_path, sentence, accepted):
    rubric = f"{PACK.prompts.judge}\n{sentence}"
    writer = LlmServer(lambda _: Reply(json.dumps({"reason": "it missed fields", "rubric": rubric})))
    with LlmServer(stubborn) as server, writer:
        proposer = Endpoint(uri=writer.uri, model="writer", retry_for="1s")
        found = revise(tmp_path, settings(server.uri), proposer=proposer)
        shown = writer.requests[0].body["messages"][1]["content"]
    assert "People found: departure_city, destination" in shown
    assert (found is not None) is accepted
    if accepted:
        assert found.pack.prompts.judge == rubric
        assert "writer" in found.what


def test_later_stages_open_the_judge_with_its_revised_rubric_and_the_pack_of_the_run(tmp_path):
    with LlmServer(hasty) as server:
        found = revise(tmp_path, settings(server.uri))
        digest = write_judge(tmp_path / "rewarding", settings(server.uri), found.pack, NO_CUES)
        with pytest.raises(InputError, match="another pack"):
            load_grader(tmp_path / "rewarding", PACK)
        keep_prompt(tmp_path / "rewarding")
        opened = load_grader(tmp_path / "rewarding", PACK)
        assert opened.digest == digest
        opened.close()
