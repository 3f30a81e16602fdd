"""The stages draw and calibrate on the pharmacy logs, with people who know the truth."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from learntoask.calibration import stage as calibrate
from learntoask.calibration.draw import stage as draw
from learntoask.calibration.draw.plan import is_reserve
from learntoask.core.digest import folder_digest
from learntoask.core.json_lines import read_records, write_records
from learntoask.core.manifest import Dataset
from learntoask.core.records import LabelledSession
from learntoask.grading.loader import load_grader
from learntoask.review.records import (
    CARRIED_FILE,
    EARLIER_FILE,
    ITEMS_FILE,
    CarriedItem,
    Freeze,
    ReviewAnswer,
    ReviewItem,
)
from worlds.calibration_run import PACK, RUNS, by_gold, items_of, publish_answers, stage_context


class Killed(Exception):
    pass


class KilledAfter:
    """Progress of an attempt that is killed at its `calls`th report."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


NOISE = {"dataset": {"corrupt": {"labelNoise": 0.2}}}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for stage in ("prepare", "label", "grader"):
        RUNS[stage](stage_context(folder, stage))
    summary = draw.run(stage_context(folder, "draw", **NOISE))
    return folder, summary


@pytest.fixture(scope="module")
def items(drawn):
    return list(read_records(drawn[0] / "draw" / ITEMS_FILE, ReviewItem))


@pytest.fixture(scope="module")
def answers(drawn):
    return publish_answers(drawn[0] / "review", items_of(drawn[0]))


@pytest.fixture(scope="module")
def calibrated(drawn, answers):
    folder, _ = drawn
    before = {stage: folder_digest(folder / stage) for stage in ("label", "grader", "draw")}
    found = stage_context(folder, "calibrate", **NOISE, review=answers)
    summary = calibrate.run(found)
    assert before == {stage: folder_digest(folder / stage) for stage in before}
    return found, summary


def test_the_draw_keeps_to_the_budget_and_seals_the_anchor_sessions(drawn, items):
    _, summary = drawn
    asked = [item for item in items if not is_reserve(item)]
    assert 70 <= summary["answers_wanted"] <= 105
    assert len(asked) < summary["answers_wanted"]
    sessions = {
        split: {i.origin.session_id for i in items if i.split == split}
        for split in ("show", "search", "anchor")
    }
    assert all(sessions.values())
    assert not sessions["anchor"] & (sessions["show"] | sessions["search"])
    assert not sessions["show"] & sessions["search"]
    assert all(0 < item.inclusion <= 1 for item in items)
    assert len({item.digest for item in items}) == len(items)


def test_nobody_is_shown_what_a_machine_says_of_the_anchor(items):
    assert all(not item.votes for item in items if item.split == "anchor")
    assert any(item.votes for item in items if item.split != "anchor")


def test_stops_and_other_turns_are_about_as_frequent_on_the_anchor(items):
    stops = [item.stratum for item in items if item.split == "anchor" and item.kind == "is_stop"]
    share = sum("no stop" in stratum for stratum in stops) / len(stops)
    assert 0.3 <= share <= 0.7


def test_the_draw_is_the_same_every_time_and_another_seed_draws_other_items(drawn, tmp_path):
    folder, _ = drawn
    first = (folder / "draw" / ITEMS_FILE).read_bytes()
    for seed, same in ((0, True), (1, False)):
        out = tmp_path / str(seed)
        out.mkdir()
        again = stage_context(folder, "draw-again", **NOISE, calibrate={"budget": 100, "seed": seed})
        draw.run(replace(again, out=out, work=folder / "draw-work"))
        assert ((out / ITEMS_FILE).read_bytes() == first) is same


def test_a_larger_budget_asks_everything_that_the_smaller_one_asked(drawn, tmp_path):
    folder, _ = drawn
    larger = stage_context(folder, "draw-larger", calibrate={"budget": 200}, **NOISE)
    draw.run(replace(larger, out=tmp_path, work=folder / "draw-work"))
    asked = {item.digest for item in read_records(tmp_path / ITEMS_FILE, ReviewItem)}
    before = [item.digest for item in items_of(folder)]
    assert asked.issuperset(before)
    assert len(asked) > len(before)


def test_answers_to_training_questions_of_an_earlier_draw_count_as_long_as_nothing_else_is_seen(
    drawn, answers, tmp_path
):
    folder, _ = drawn

    def carried(item: ReviewItem) -> CarriedItem:
        said = by_gold(item)
        answer = ReviewAnswer(item=item.digest, reviewer="ada", answer=said, blind=said)
        return CarriedItem(item=item, answers=(answer,))

    learned = [item for item in items_of(folder) if item.split != "anchor" and item.why != "known"]
    anchor = [item for item in items_of(folder) if item.split == "anchor"]
    other_words = learned[0].model_copy(update={"question": "Which of these is asked?"})
    gone = learned[0].origin.model_copy(update={"session_id": "gone"})
    given = publish_answers(tmp_path / "review", anchor)
    write_records(
        given / CARRIED_FILE,
        [
            *map(carried, learned),
            carried(other_words),
            carried(anchor[0]),  # of a session that is measured on
            CarriedItem(item=learned[0].model_copy(update={"origin": gone}), answers=()),
        ],
    )

    record = calibrate.run(stage_context(folder, "calibrate", review=given, **NOISE))["calibration"]
    assert record["answers"]["carried"] == len(learned)
    # What people said of a label decides it, whichever draw asked.
    whole = stage_context(folder, "calibrate", review=answers, **NOISE)
    assert record["labels"] == calibrate.run(whole)["calibration"]["labels"]


def test_wrong_labels_are_found_and_right_ones_are_kept(drawn, calibrated):
    from learntoask.labeling.corruption import corrupt  # noqa: PLC0415

    folder, _ = drawn
    found, _ = calibrated
    published = list(read_records(folder / "label" / "labelled.jsonl", LabelledSession))
    noisy = list(corrupt(published, settings=found.spec.dataset.corrupt, pack=PACK))
    after = list(read_records(found.out / "labelled.jsonl", LabelledSession))
    assert [one.session.session_id for one in after] == [one.session.session_id for one in published]

    def labels(sessions):
        return {
            (one.session.session_id, sample.turn): (
                sample.decision,
                frozenset(i.field for i in sample.remaining),
            )
            for one in sessions
            if one.session.split == "train"
            for sample in one.samples
        }

    right, wrong, now = labels(published), labels(noisy), labels(after)
    changed = [key for key, said in wrong.items() if right[key] != said]
    assert len(changed) >= 30
    assert sum(now.get(key) != wrong[key] for key in changed) >= 0.5 * len(changed)


def test_measured_sessions_keep_the_labels_of_the_labeller(drawn, calibrated):
    folder, _ = drawn
    found, summary = calibrated
    revised = bool(summary["calibration"]["edits"])
    published = found.work / "relabelled" / "out" if revised else folder / "label"
    measured, _ = draw.divide(
        draw.read_labelled(folder / "label", folder / "prepare", pack=PACK, faults=Dataset(uri="x").corrupt),
        seed=0,
    )
    ids = {log.session_id for log in measured}
    before = {o.session.session_id: o for o in read_records(published / "labelled.jsonl", LabelledSession)}
    after = {o.session.session_id: o for o in read_records(found.out / "labelled.jsonl", LabelledSession)}
    assert ids
    assert all(before[one] == after[one] for one in ids)


def test_purged_labels_are_in_quarantine_with_their_reason(calibrated):
    found, summary = calibrated
    lines = [
        json.loads(line) for line in (found.out / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    purged = [line for line in lines if line["reason"] in ("rejected-by-people", "doubted-label")]
    assert len(purged) == summary["calibration"]["labels"]["purged"]


def test_later_stages_open_the_graders_with_the_packs_of_the_run(calibrated):
    found, _ = calibrated
    record = json.loads((found.out / "agreement.json").read_text(encoding="utf-8"))
    for role in ("rewarding", "reporting"):
        assert load_grader(found.out / role, PACK).digest == record["fits"][role]["digest"]


def test_the_record_says_what_was_measured_and_what_was_tried(calibrated):
    _, summary = calibrated
    record = summary["calibration"]
    for when in ("before", "after"):
        for judge in ("labeller", "rewarding", "reporting"):
            figures = record["agreement"][when]["asks_for"][judge]
            assert figures["low"] <= figures["kappa"] <= figures["high"]
            assert figures["answers"] > 0
    gate = record["gate"]
    for judge, result in gate["judges"].items():
        assert result["items"] == record["agreement"]["after"]["asks_for"][judge]["answers"]
        assert result["kappa"] == pytest.approx(
            record["agreement"]["after"]["asks_for"][judge]["kappa"], abs=1e-3
        )
        assert (result["verdict"] == "needs_more") is (result["more"] > 0)
    assert gate["more"] == max(result["more"] for result in gate["judges"].values())
    assert record["answers"]["used"] > 0
    assert all(one["because"] for one in record["revisions"])


def test_a_killed_attempt_that_is_resumed_publishes_the_same_bytes(drawn, answers, calibrated):
    found, _ = calibrated
    whole = folder_digest(found.out)
    folder = found.out.parent / "again"
    folder.mkdir()
    again = replace(found, out=folder / "out", work=folder / "work")
    for calls in (1, 4):
        shutil.rmtree(again.out, ignore_errors=True)
        again.out.mkdir()
        again.work.mkdir(exist_ok=True)
        with pytest.raises(Killed):
            calibrate.run(replace(again, progress=KilledAfter(calls)))
    shutil.rmtree(again.out)
    again.out.mkdir()
    calibrate.run(again)
    assert folder_digest(again.out) == whole


def test_answers_that_were_published_before_have_spent_a_part_of_what_the_gate_may_err(drawn, answers, items):
    folder, _ = drawn
    part = [item.digest for item in items if item.kind == "asks_for" and not is_reserve(item)][:-5]
    results = {}
    for name, earlier in {"first": [], "second": [Freeze(answers="0" * 64, items=tuple(part))]}.items():
        given = publish_answers(folder / name, items_of(folder))
        write_records(given / EARLIER_FILE, earlier)
        record = calibrate.run(stage_context(folder, "calibrate", review=given))["calibration"]
        results[name] = record["gate"]["judges"]["labeller"]
        tried = [look["confidence"] for look in record["looks"]]
        assert tried == pytest.approx([0.984 if name == "first" else 0.9968] * len(tried))
    assert [len(result["looks"]) for result in results.values()] == [1, 2]
    assert results["second"]["kappa"] == results["first"]["kappa"]
    assert results["second"]["low"] < results["first"]["low"]


def test_without_answers_labels_and_graders_stay_as_they_are(drawn):
    folder, _ = drawn
    found = stage_context(folder, "calibrate", review=publish_answers(folder / "nobody", []))
    summary = calibrate.run(found)
    assert (found.out / "labelled.jsonl").read_bytes() == (folder / "label/labelled.jsonl").read_bytes()
    for role in ("rewarding", "reporting"):
        assert folder_digest(found.out / role) == folder_digest(folder / "grader" / role)
    assert summary["calibration"]["gate"]["verdict"] == "needs_more"
