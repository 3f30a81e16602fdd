"""The evaluate stage from labelled sessions to the page, with policies of known skill and graders of known errors."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from learntoask.calibration.truth import HumanPoint
from learntoask.core.errors import InputError, StageError, TooManyMissing
from learntoask.core.json_lines import read_records, write_records
from learntoask.core.manifest import GraderSettings, RunSpec, Threshold
from learntoask.core.manifest.metric import metric_names
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import StageContext
from learntoask.core.stages.policy_choice import PolicyChoice, publish_choice
from learntoask.evaluation.compare import compare, comparison_table
from learntoask.evaluation.decisions import DecisionRecord
from learntoask.evaluation.evaluate import _PART
from learntoask.evaluation.figures import figures
from learntoask.evaluation.gate import check_thresholds
from learntoask.evaluation.heldout import read_held_out
from learntoask.evaluation.report.html import render, report_page
from learntoask.evaluation.report_schema import EvaluationReport, read_report
from learntoask.evaluation.stage import Graders, evaluate_models, open_graders
from learntoask.grading.grades import REFUSED, Grade, GradeCase, MissingGrade
from learntoask.policy.stopping import Stopping, publish_stopping
from worlds import evaluation as world

LABELLING = {  # llm.json of a label stage with a language model
    "models": ["judge-7b"],
    "requests": 100,
    "answers": 90,
    "retries": 10,
    "faults": {"429": 7, "timeout": 3},
    "asked_again": 4,
    "prompt_tokens": 9000,
    "cached_prompt_tokens": 6000,
    "completion_tokens": 800,
    "cost": 1.5,
}
SKILLS = {
    "base": world.SkilledPolicy(hit=0.3, stop=0.0),
    "sft": world.SkilledPolicy(hit=0.7, stop=0.95),
    "grpo": world.SkilledPolicy(hit=0.85, stop=0.95),
}


def evaluate(
    folder: Path,
    *,
    policies: dict[str, world.SkilledPolicy] = SKILLS,
    test: int = 90,
    inputs: dict[str, Path] | None = None,
    **settings: object,
) -> EvaluationReport:
    """Evaluate in `folder`. A second call keeps the folder `work` and empties `out`."""
    out, work, label = folder / "out", folder / "work", folder / "label"
    for path in (out, work, label):
        path.mkdir(parents=True, exist_ok=True)
    for path in out.iterdir():
        path.unlink()
    models = {name: folder / name / "model" for name in policies}
    for name, model in models.items():
        if not model.exists():
            world.model_folder(model, name)
    if not (label / "labelled.jsonl").exists():
        world.write_labelled(label / "labelled.jsonl", test=test)
    (label / "quarantine.jsonl").write_text('{"reason": "wrong-annotation"}\n' * 3)
    (label / "llm.json").write_text(json.dumps(LABELLING))
    rows = [{"update": 0, "kind": "train", "loss": 2.0}, {"update": 1, "kind": "train", "loss": float("nan")}]
    (folder / "sft" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    inputs = {"label": label, "sft": folder / "sft", **(inputs or {})}
    context = stage_context({"bootstrap": 200, **settings}, inputs=inputs, out=out, work=work)
    graders = Graders(
        reporting=world.NameGrader(), rewarding=world.NameGrader(lenient=True), agreement=world.AGREEMENT
    )
    return evaluate_models(
        context, models=models, graders=graders, load_policy=lambda model: policies[model.parent.name]
    )


def stage_context(
    settings: dict[str, object], *, inputs: dict[str, Path], out: Path, work: Path
) -> StageContext:
    return StageContext(
        stage="evaluate",
        key="0123456789abcdef" * 4,
        spec=RunSpec.model_validate({"dataset": {"uri": "d"}, "pack": {"uri": "p"}, "evaluate": settings}),
        pack=world.PACK,
        inputs=inputs,
        files={},
        out=out,
        work=work,
        progress=world.Quiet(),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("evaluation")
    evaluate(made)
    return made


@pytest.fixture(scope="module")
def report(folder: Path) -> EvaluationReport:
    return read_report(folder / "out")


def greedy(report: EvaluationReport, policy: str, metric: str) -> float:
    found = report.policy(policy).decodings["greedy"].metrics[metric]
    assert found.low <= found.value <= found.high
    return found.value


def test_policies_come_out_as_skilled_as_they_are(report: EvaluationReport) -> None:
    assert greedy(report, "base", "WS-stop") == 0.0
    assert greedy(report, "sft", "WS-stop") == pytest.approx(0.95, abs=0.07)
    assert greedy(report, "base", "WA-GH") < greedy(report, "sft", "WA-GH") < greedy(report, "grpo", "WA-GH")
    assert report.under_test == "grpo"
    gain = report.pair("grpo", "sft").metrics["WA-GH"]
    assert gain.significant
    assert gain.value == pytest.approx(greedy(report, "grpo", "WA-GH") - greedy(report, "sft", "WA-GH"))


def test_the_identity_is_checked_for_every_policy_and_decoding(report: EvaluationReport) -> None:
    for policy in report.policies:
        for part in policy.decodings.values():
            assert part.identity.holds
            metric = {name: estimate.value for name, estimate in part.metrics.items()}
            p = part.identity.continue_share
            parts = metric["TA"] + 2 * (p * metric["WA"] + (1 - p) * metric["WS-stop"]) + metric["Format"]
            assert metric["Total"] == pytest.approx(parts)


def test_every_name_that_a_threshold_may_have_is_in_a_full_report(report: EvaluationReport) -> None:
    of_people = {name for name in metric_names() if {"corrected", "calibration"} & set(name.split("."))}
    of_graders = {name for name in metric_names() if name.startswith("grader.")}
    found = {name for name in figures(report) if not name.startswith("grader.")}
    assert found == metric_names() - of_people - of_graders


def test_who_names_one_field_of_many_is_precise_and_recalls_little(report: EvaluationReport) -> None:
    found = report.policy("grpo").assessment
    assert (found["precision"].value, found["malformed"].value) == (1.0, 0.0)
    assert found["F1"].value == pytest.approx(2 * found["recall"].value / (1 + found["recall"].value))
    assert found["recall"].value < 0.7


def test_seen_and_unseen_tasks_are_told_apart_by_the_groups_training_has(report: EvaluationReport) -> None:
    groups = report.policy("grpo").decodings["greedy"].groups
    assert groups["seen"].sessions == groups["unseen"].sessions == 45
    assert (
        sum(groups[name].metrics["TA"].n for name in groups)
        == report.policy("grpo").decodings["greedy"].metrics["TA"].n
    )


def test_the_lenient_rewarding_grader_shows_as_a_gap(report: EvaluationReport) -> None:
    gap = report.policy("sft").decodings["greedy"].gap["WA-GH"]
    assert gap.low > 0
    growth = report.gap_growth["WA-GH"]
    before, after = (report.policy(name).decodings["greedy"].gap["WA-GH"].value for name in ("sft", "grpo"))
    assert growth.value == pytest.approx(after - before)


def test_missing_grades_are_counted_with_their_reason(report: EvaluationReport, folder: Path) -> None:
    missing = report.policy("sft").decodings["sampled"].missing
    rows = [
        row for row in read_records(folder / "out" / "decisions.jsonl", DecisionRecord) if row.policy == "sft"
    ]
    sampled = [row for row in rows if row.decoding == "sampled"]
    expected = sum("hmm" in row.response and row.truth == "continue" for row in sampled)
    assert missing.count == expected > 0
    assert missing.reasons == {"no field is near enough <to be sure>": expected}
    assert missing.share == pytest.approx(expected / len(sampled))


def test_answers_that_are_no_question_are_graded_0_and_counted_with_the_reason(
    report: EvaluationReport, folder: Path
) -> None:
    counts = []
    rows = list(read_records(folder / "out" / "decisions.jsonl", DecisionRecord))
    for policy in report.policies:
        for decoding, part in policy.decodings.items():
            refused = sum(
                (row.policy, row.decoding) == (policy.name, decoding)
                and row.decision == "continue"
                and row.reporting.reason == REFUSED.reason
                for row in rows
            )
            assert part.missing.zero == ({REFUSED.reason: refused} if refused else {})
            counts += [refused] if refused else []
    assert (
        f"not missing but 0: {counts[0]} × {REFUSED.reason}" in (folder / "out" / "report.html").read_text()
    )


def test_one_line_a_decision(report: EvaluationReport, folder: Path) -> None:
    rows = list(read_records(folder / "out" / "decisions.jsonl", DecisionRecord))
    assert len(rows) == 3 * report.data.decision_points * (1 + 3)
    assert len({(row.policy, row.decoding, row.session, row.turn, row.completion) for row in rows}) == len(
        rows
    )
    assert {row.decoding for row in rows} == {"greedy", "sampled"}


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    evaluate(tmp_path)
    for name in ("report.json", "report.html", "decisions.jsonl", "replay.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / "out" / name).read_bytes(), name


def test_counts_and_quarantine_are_in_the_report(report: EvaluationReport) -> None:
    assert report.data.labelling == LABELLING
    assert "judge-7b: 90 answers to 100 requests" in " ".join(report_page(report).split())
    assert report.data.quarantined == {"label": {"wrong-annotation": 3}}
    assert report.data.training_sessions == 20
    assert report.data.continues + report.data.stops == report.data.decision_points
    assert [(curve.stage, curve.name, curve.values) for curve in report.curves] == [
        ("sft", "train/loss", [2.0])
    ]


def test_misses_are_of_every_kind_and_show_what_the_policy_saw(report: EvaluationReport) -> None:
    kinds = {miss.kind for miss in report.misses}
    assert {"stopped too early", "did not stop", "asked for nothing that was needed"} <= kinds
    assert len(report.misses) == 12
    for miss in report.misses:
        assert miss.context[-1][0] == "user"
        assert bool(miss.target) == (miss.truth == "continue")


def test_a_killed_evaluation_decodes_no_finished_part_again(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    class Mortal(world.SkilledPolicy):
        def decide(self, sessions, **rest):
            if len(self.calls) == 1:
                raise Killed
            return super().decide(sessions, **rest)

    mortal = Mortal(hit=0.7, stop=0.95)
    base = world.SkilledPolicy(hit=0.3, stop=0.0)
    with pytest.raises(Killed):
        evaluate(tmp_path, policies={"base": base, "sft": mortal}, samples=0)
    base.calls.clear()
    survivor = world.SkilledPolicy(hit=0.7, stop=0.95)
    resumed = evaluate(tmp_path, policies={"base": base, "sft": survivor}, samples=0)
    assert base.calls == []
    assert [call for call in survivor.calls if call != "reply"] == [f"decide {90 - _PART}"]
    fresh = evaluate(tmp_path / "fresh", policies={"base": base, "sft": survivor}, samples=0)
    assert resumed.policies == fresh.policies


def test_fewer_settings_make_a_smaller_report(tmp_path: Path) -> None:
    found = evaluate(tmp_path, policies={"sft": SKILLS["sft"]}, samples=0, replay=False, maxSessions=12)
    policy = found.policy("sft")
    assert (list(policy.decodings), policy.replay, found.pairs, found.gap_growth) == (
        ["greedy"],
        None,
        [],
        {},
    )
    assert (found.data.sessions, found.data.available) == (12, 90)
    assert any("12 of 90" in note for note in found.notes)
    assert "The fluency guard refuses 40 of the experts' own 335 labelled questions (12%)." in found.notes
    assert not (tmp_path / "out" / "replay.jsonl").exists()
    page = report_page(found)
    assert "GRPO" not in page
    for fact, shown in (
        ("experts, refused", "0.119 (0.089 – 0.158, n = 335)"),
        ("unsure, rewarding, no grade", "0.051 (0.030 – 0.080, n = 335)"),
    ):
        assert f"<dt>{fact}</dt><dd>{shown}</dd>" in page


def test_the_choice_of_sessions_does_not_depend_on_the_file(tmp_path: Path) -> None:
    path = world.write_labelled(tmp_path / "labelled.jsonl")
    chosen = [
        labelled.session.session_id for labelled in read_held_out(path, world.PACK, max_sessions=7).sessions
    ]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))
    assert [
        labelled.session.session_id for labelled in read_held_out(path, world.PACK, max_sessions=7).sessions
    ] == chosen


def test_too_many_missing_grades_stop_the_run_with_the_reason(tmp_path: Path) -> None:
    class Vague(world.SkilledPolicy):
        def _say(self, *_: object) -> str:
            return "Would hmm be fine?"

    with pytest.raises(TooManyMissing, match=r"policy sft: .* no field is near enough"):
        evaluate(tmp_path, policies={"base": Vague(0, 0), "sft": Vague(0, 0)}, samples=0, replay=False)


def test_nothing_held_out_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(
        "".join(labelled.model_dump_json() + "\n" for labelled in world.sessions(3, split="train"))
    )
    with pytest.raises(StageError, match="testShare"):
        read_held_out(path, world.PACK)


def test_a_grader_folder_without_agreement_is_an_input_error(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="agreement"),
        open_graders(tmp_path, settings=GraderSettings(), pack=world.PACK, work=tmp_path),
    ):
        pass


def test_a_right_stop_by_an_unsure_grader_is_still_graded_by_rule(tmp_path: Path) -> None:
    class Unsure:
        digest = "u"

        def grade(self, cases: list[GradeCase]) -> list[Grade | MissingGrade]:
            return [MissingGrade("always") for _ in cases]

    (tmp_path / "work").mkdir()
    (tmp_path / "out").mkdir()
    world.write_labelled(tmp_path / "labelled.jsonl")
    found = evaluate_models(
        stage_context(
            {"bootstrap": 100, "replay": False},
            inputs={"label": tmp_path},
            out=tmp_path / "out",
            work=tmp_path / "work",
        ),
        models={"base": world.model_folder(tmp_path / "base", "b")},
        graders=Graders(reporting=Unsure(), rewarding=Unsure(), agreement={}),
        load_policy=lambda _: world.SkilledPolicy(hit=1.0, stop=1.0),
    )
    metrics = found.policy("base").decodings["greedy"].metrics
    assert metrics["WS-stop"].value == 1.0
    assert metrics["Format"].value == 1.0
    assert (
        metrics["WA"].value is None
    )  # the grade of every right question is missing, and there is no wrong stop
    assert any("grades are missing" in note for note in found.notes)
    assert report_page(found)


class Reader(HTMLParser):
    """Collect tags, external references and visible text; fail on tags that do not close in order."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_says_which_policy_was_published_and_why(tmp_path: Path) -> None:
    (tmp_path / "grpo").mkdir()
    choice = PolicyChoice(policy="sft", reason="The SFT policy was published because <nothing> helped.")
    publish_choice(tmp_path / "grpo", choice)
    publish_stopping(
        tmp_path / "grpo", Stopping(threshold=0.3, temperature=2.0, sessions=5, points=20, stops=4)
    )
    found = evaluate(tmp_path, test=10, inputs={"grpo": tmp_path / "grpo"}, replay=False)
    assert found.choice == choice
    page = report_page(found)
    assert "the SFT policy, because GRPO brought no confirmed gain" in page
    assert "because &lt;nothing&gt; helped" in page
    assert "chosen at 20 decision points (4 stops) of 5 sessions" in page
    assert compare(tmp_path / "out", tmp_path / "out").published == (choice.reason, choice.reason)
    calibrated = found.policy("grpo").stop_probability.calibrated
    assert calibrated.temperature == 2.0
    assert found.policy("sft").stop_probability.calibrated is None


def test_stops_are_counted_by_turn(report: EvaluationReport, folder: Path) -> None:
    every = read_records(folder / "out" / "decisions.jsonl", DecisionRecord)
    decisions = [d for d in every if (d.policy, d.decoding) == ("sft", "greedy")]
    rows = report.policy("sft").stops_by_turn
    assert sum(row.continues + row.expert_stops for row in rows) == len(decisions)
    assert [row.turn for row in rows] == sorted({d.turn for d in decisions})
    wrong = [d.turn for d in decisions if d.truth == "continue" and d.decision == "stop"]
    assert [row.wrong_stops for row in rows] == [wrong.count(row.turn) for row in rows]
    assert wrong
    # All stops of this world are equally probable, and more probable than going on.
    assert report.policy("sft").stop_probability.area_under_curve == 1.0


def test_what_differs_between_runs_is_told_with_data_pack_and_graders(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder / "out", other)
    report = json.loads((other / "report.json").read_text())
    report["settings"]["dataset"]["maxSessions"] = 7
    report["settings"]["pack"]["grading"] = "another"
    report["grader"]["rewarding"] = "another"
    report["data"]["training_sessions"] += 100
    (other / "report.json").write_text(json.dumps(report))
    settings = compare(folder / "out", other).settings
    assert set(settings) == {
        "dataset.maxSessions",
        "pack.grading",
        "graders.rewarding",
        "data.trainingSessions",
    }


def test_the_page_is_whole_and_needs_nothing_from_outside(report: EvaluationReport, folder: Path) -> None:
    reader = Reader()
    reader.feed((folder / "out" / "report.html").read_text(encoding="utf-8"))
    assert reader.open == []
    assert reader.references == []
    assert "script" not in reader.tags
    assert not {"b", "u"} & set(reader.tags)  # the logs say <b>now</b> and <u>two</u>
    assert "<b>now</b>" in reader.text
    assert "no field is near enough <to be sure>" in reader.text
    assert f"{report.policy('grpo').decodings['greedy'].metrics['WA-GH'].value:.3f}" in reader.text
    assert "RealMedConv" in reader.text
    assert "What the policy finds missing" in reader.text
    assert re.search(
        r"κ over \(question, field\) pairs\s*0\.871\s*0\.842 – 0\.902, n 335\s*0\.845", reader.text
    )
    assert re.search(r"same findings\s*0\.958 \(n = 331\)", reader.text)


def test_rendering_again_from_the_json_gives_the_same_page(folder: Path, tmp_path: Path) -> None:
    render(folder / "out" / "report.json", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (folder / "out" / "report.html").read_bytes()


def test_a_gate_on_the_real_report(report: EvaluationReport) -> None:
    thresholds = [
        Threshold(metric="grpo-sft.WA-GH", bound="lower", min=0.0),
        Threshold(metric="grader.reporting.kappa", bound="lower", min=0.8),
        Threshold(metric="gap-growth.WA-GH", max=0.1),
    ]
    assert check_thresholds(report, thresholds).passed


def test_a_run_compared_with_itself_differs_in_nothing(folder: Path) -> None:
    found = compare(folder / "out", folder / "out")
    assert (found.shared, found.only_a, found.only_b, found.changed) == (90, 0, 0, 0)
    assert found.same_grader
    assert found.settings == {}
    assert {row.policy for row in found.rows} == {"base", "sft", "grpo"}
    assert all(row.difference.value in (0.0, None) and not row.difference.significant for row in found.rows)


def test_a_report_shows_what_people_say_and_the_comparison_says_that_they_did(
    folder: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "label"
    labels.mkdir()
    shutil.copy(folder / "label" / "labelled.jsonl", labels)
    kappa = {"kappa": 0.8, "low": 0.7, "high": 0.9, "bound": 0.72, "answers": 40}
    judges = dict.fromkeys(("labeller", "rewarding", "reporting"), kappa)
    record = {
        "agreement": {"before": {"asks_for": judges}, "after": {"asks_for": judges}},
        "gate": {
            "verdict": "passed",
            "judges": {name: {"verdict": "passed", "reason": "κ = 0.80"} for name in judges},
        },
        "answers": {"given": 110, "wanted": 120, "cannot_say": 3},
        "people": {"between": {"kappa": 0.9, "items": 12}},
        "labels": {"purged": 4},
        "revisions": [{"what": "bounds <b>", "outcome": "accepted", "reason": "κ rose"}],
        "digests": {"answers": "a" * 64},
    }
    (labels / "calibration.json").write_text(json.dumps(record))
    points = []
    for labelled in read_records(labels / "labelled.jsonl", LabelledSession):
        if labelled.session.split == "test":
            for sample in labelled.samples:
                target = frozenset(item.field for item in sample.remaining)
                points.append(
                    HumanPoint(
                        session_id=labelled.session.session_id,
                        turn=sample.turn,
                        decision=sample.decision,
                        target=target,
                        stratum="s",
                        inclusion=0.5,
                    )
                )
    write_records(labels / "truth.jsonl", points[:60])
    made = evaluate(tmp_path, replay=False)
    tested = made.policies[-1]
    plain = tested.decodings["greedy"].metrics["WA-GH"].value
    assert tested.corrected["WA-GH"].value == pytest.approx(plain, abs=0.05)
    known = figures(made)
    assert known["calibration.kappa"].lower_one_sided == 0.72
    assert known["corrected.WA-GH"].value == tested.corrected["WA-GH"].value
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What people say" in page
    assert "bounds &lt;b&gt;" in page
    assert compare(folder / "out", tmp_path / "out").answers == (None, "a" * 64)


def test_comparing_two_runs_pairs_the_sessions_they_share(folder: Path, tmp_path: Path) -> None:
    better = {"sft": world.SkilledPolicy(hit=0.95, stop=0.95, seed=5)}
    evaluate(tmp_path, policies=better, test=90, replay=False, maxSessions=50)
    found = compare(folder / "out", tmp_path / "out")
    assert (found.shared, found.only_a, found.only_b) == (50, 40, 0)
    assert found.settings["evaluate.maxSessions"] == (None, 50)
    gain = next(row for row in found.rows if (row.decoding, row.metric) == ("greedy", "WA-GH"))
    assert gain.policy == "sft"
    assert gain.difference.significant
    assert gain.difference.value == pytest.approx(gain.b - gain.a)
    assert "WA-GH" in list(comparison_table(found).columns[1].cells)


def test_sessions_whose_labels_changed_are_not_paired(folder: Path, tmp_path: Path) -> None:
    evaluate(
        tmp_path, policies={"sft": SKILLS["sft"]}, test=91, replay=False
    )  # the same ids with other labels
    found = compare(folder / "out", tmp_path / "out")
    assert found.changed > 0
    assert found.shared + found.changed == 90
    assert found.only_b == 1


def test_runs_without_a_policy_in_common_compare_the_ones_under_test(folder: Path, tmp_path: Path) -> None:
    evaluate(tmp_path, policies={"sft": SKILLS["sft"]}, replay=False)
    (tmp_path / "out" / "report.json").write_text(
        (tmp_path / "out" / "report.json").read_text().replace('"sft"', '"mine"')
    )
    rows = (tmp_path / "out" / "decisions.jsonl").read_text().replace('"policy":"sft"', '"policy":"mine"')
    (tmp_path / "out" / "decisions.jsonl").write_text(rows)
    found = compare(folder / "out", tmp_path / "out")
    assert {row.policy for row in found.rows} == {"grpo / mine"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("report.json", "{", "is not an evaluation report"),
        ("report.json", None, "cannot be read"),
        ("decisions.jsonl", '{"session": 1}\n', "line 1 is not a DecisionRecord"),
        ("decisions.jsonl", "", "holds no decisions"),
    ],
)
def test_comparing_what_is_no_evaluation_says_what_is_wrong(
    folder: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    for copied in ("report.json", "decisions.jsonl"):
        (tmp_path / copied).write_bytes((folder / "out" / copied).read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        compare(tmp_path, folder / "out")


def test_a_report_of_a_later_schema_is_refused(folder: Path, tmp_path: Path) -> None:
    later = json.loads((folder / "out" / "report.json").read_text()) | {"schema_version": 2}
    (tmp_path / "report.json").write_text(json.dumps(later))
    with pytest.raises(InputError, match="report schema 2"):
        read_report(tmp_path)
