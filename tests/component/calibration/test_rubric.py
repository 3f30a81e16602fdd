"""The judge's rubric, revised against a real HTTP server."""

from __future__ import annotations

import json

import pytest
from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import Finding
from learntoask.calibration.revise.prompts import BULLETS, revise_prompt
from learntoask.calibration.revise.proposals import proposer
from learntoask.calibration.revise.rubric import rubric
from learntoask.core.errors import InputError, StageError
from learntoask.core.manifest import Endpoint
from learntoask.core.records import Message, Session, Turn
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


WORLDS = {split: world(split) for split in ("show", "search", "anchor")}
FINDINGS = {key: one for _, found, _ in WORLDS.values() for key, one in found.items()}
SESSIONS = {key: one for *_, found in WORLDS.values() for key, one in found.items()}


def revise(tmp_path, judge, *, writer=None):
    """Return the revised rubric, and what the judge finds with it on the anchor."""
    revisable = rubric(judge, FINDINGS, SESSIONS, journal=tmp_path / "rubrics.jsonl")
    found = revise_prompt(
        revisable,
        pack=PACK,
        show=WORLDS["show"][0],
        search=WORLDS["search"][0],
        propose=writer and proposer(writer, FINDINGS, reader="judge", journal=tmp_path / "proposals.jsonl"),
    )
    return found, found and revisable.finds(found.pack, WORLDS["anchor"][0])


def test_the_bullet_that_helps_is_chosen_and_no_other(tmp_path):
    with LlmServer(hasty) as server:
        found, finds = revise(tmp_path, settings(server.uri))
    assert found is not None
    assert found.pack.prompts.judge == f"{PACK.prompts.judge}\n- {SEVERAL}"
    assert finds(("anchor-0", 0)) == {"departure_city", "destination"}
    assert len(found.because) == 8


def test_a_judge_that_makes_no_errors_keeps_its_rubric(tmp_path):
    with LlmServer(perfect) as server:
        assert revise(tmp_path, settings(server.uri)) == (None, None)


def test_replies_of_a_killed_attempt_are_not_asked_for_again(tmp_path):
    with LlmServer(hasty) as server:
        first, _ = revise(tmp_path, settings(server.uri))
        asked = len(server.requests)
        again, _ = revise(tmp_path, settings(server.uri))
        assert len(server.requests) == asked
    assert again.pack.prompts.judge == first.pack.prompts.judge


def stubborn(asked):
    """A judge whom only a rewritten rubric helps."""
    rubric = asked.body["messages"][0]["content"]
    found = fields_in(question(asked))
    return judgement_reply(**marks(found if "every single" in rubric else found[:1], needed(asked)))


RUBRIC = PACK.prompts.judge


@pytest.mark.parametrize(
    ("written", "accepted"),
    [
        (f"{RUBRIC}\nName every single field.", True),
        (f"{RUBRIC}\nName every single field, as in Where are you leaving from?", False),
        (f"{{%- endfor %}}\n{RUBRIC.replace('{%- endfor %}', '')}\nName every single field.", False),
    ],
    ids=["a rule", "an example", "a tag out of place"],
)
def test_a_rewrite_by_another_model_is_taken_unless_a_guard_refuses_it(tmp_path, written, accepted):
    writer = LlmServer(lambda _: Reply(json.dumps({"reason": "it missed fields", "prompt": written})))
    with LlmServer(stubborn) as server, writer:
        endpoint = Endpoint(uri=writer.uri, model="writer", retry_for="1s")
        found, _ = revise(tmp_path, settings(server.uri), writer=endpoint)
        shown = writer.requests[0].body["messages"][1]["content"]
    assert "The judge found: departure_city\nPeople found: departure_city, destination" in shown
    assert (found is not None) is accepted
    if accepted:
        assert found.pack.prompts.judge == written
        assert "writer" in found.what


def test_all_candidates_share_the_judge_s_budget(tmp_path):
    """Each of them judges eight questions."""
    spent = pytest.raises(StageError, match=r"spec\.grader\.llm\.budget\.requests = 20 is spent")
    with LlmServer(hasty) as server, spent:
        revise(tmp_path, settings(server.uri, budget={"requests": 20}))


def test_later_stages_open_the_judge_with_its_revised_rubric_and_the_pack_of_the_run(tmp_path):
    with LlmServer(hasty) as server:
        found, _ = revise(tmp_path, settings(server.uri))
        digest = write_judge(tmp_path / "rewarding", settings(server.uri), found.pack, NO_CUES)
        with pytest.raises(InputError, match="another pack"):
            load_grader(tmp_path / "rewarding", PACK)
        keep_prompt(tmp_path / "rewarding")
        opened = load_grader(tmp_path / "rewarding", PACK)
        assert opened.digest == digest
        opened.close()
