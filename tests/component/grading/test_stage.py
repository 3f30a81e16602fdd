"""The stage grader on a small domain, with the encoder that needs no model."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from learntoask.core.errors import InputError, StageError, TooManyMissing
from learntoask.core.manifest import Dataset, GraderSettings
from learntoask.core.manifest.grader_metric import grader_metric_names
from learntoask.core.pack import Fluency, Pack
from learntoask.grading.encoders import caching
from learntoask.grading.encoders.hashing import HashingEncoder
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.grades import REFUSED, Grade, GradeCase, MissingGrade
from learntoask.grading.stage import run
from learntoask.labeling.check import check_file
from worlds import swahili
from worlds.grader import PACK, WORDINGS, grader_context, labelled_session, sessions, with_questions


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    context = grader_context(tmp_path_factory.mktemp("grader"), sessions())
    run(context)
    return context


@pytest.fixture(scope="module")
def graders(published):
    return {role: FieldGrader.load(published.out / role, PACK) for role in ("rewarding", "reporting")}


def case(text: str, *, session: str = "served-1", task: str = "bus", target: str = "") -> GradeCase:
    return GradeCase(session_id=session, task=task, response=text, target=frozenset(target.split()))


def test_both_graders_agree_with_the_labels_and_say_so(published):
    record = json.loads((published.out / "agreement.json").read_text(encoding="utf-8"))
    for role in ("rewarding", "reporting"):
        assert record[role]["any_hit"]["value"] >= 0.9
        assert record[role]["kappa"]["low"] > 0.7
        assert record[role]["kappa"]["low"] <= record[role]["kappa"]["value"] <= record[role]["kappa"]["high"]
    assert record["kappa"] == record["reporting"]["kappa"]
    assert record["measured_on"] == {"split": "test", "sessions": 12, "questions": 36}
    assert record["gold"]["labellers"] == ["annotated"]
    assert record["refused"]["made"]["value"] >= 0.98


def test_a_gate_may_name_every_figure(published):
    def numbers(node, path=()):
        for name, child in node.items():
            if isinstance(child, dict) and "value" not in child:
                yield from numbers(child, (*path, name))
            elif isinstance(child, dict) or (isinstance(child, int | float) and not isinstance(child, bool)):
                yield ".".join((*path, name))

    record = json.loads((published.out / "agreement.json").read_text(encoding="utf-8"))
    del record["encoder"]  # its version is no figure
    found = set(numbers(record))
    assert {"kappa", "rewarding.exact", "fits.reporting.sessions"} <= found <= grader_metric_names()


def test_the_two_are_fitted_on_different_sessions_and_are_of_different_kinds(published):
    def fitted(role: str) -> tuple[str, set[str]]:
        lines = (published.out / role / "examples.jsonl").read_text(encoding="utf-8").splitlines()
        kind = json.loads((published.out / role / "grader.json").read_text(encoding="utf-8"))["kind"]
        return kind, {json.loads(line)["session_id"] for line in lines}

    kind, rewarding = fitted("rewarding")
    other_kind, reporting = fitted("reporting")
    assert kind != other_kind
    assert rewarding.isdisjoint(reporting)
    assert abs(len(rewarding) - len(reporting)) <= 2
    assert len(rewarding | reporting) == 60


def test_grades_count_items_and_take_the_share(graders):
    for grader in graders.values():
        one, two, wrong, none = grader.grade(
            [
                case("Where are you leaving from?", target="departure_city"),
                case("Where are you leaving from? For how many people?", target="departure_city"),
                case("How many seats do you need?", target="departure_city destination"),
                case("I'm sorry, I don't have the ability to book seats.", target="number_of_seats"),
            ]
        )
        assert (one.content, one.format, one.asked) == (1.0, 1.0, {"departure_city"})
        assert (two.content, two.content_any, two.format) == (0.5, 1.0, 0.5)
        assert (wrong.content, wrong.format) == (0.0, 1.0)
        assert none == REFUSED


def test_stops_are_graded_by_rule(graders):
    right, early, wordy = graders["rewarding"].grade(
        [case("<stop />"), case("<stop />", target="destination"), case("Where to? <stop />")]
    )
    assert (right.content, right.format) == (1.0, 1.0)
    assert (early.content, early.format) == (0.0, 1.0)
    assert (wordy.content, wordy.format) == (1.0, 0.0)


def test_a_field_that_no_session_asks_for_is_known_from_the_packs_questions(tmp_path, graders):
    text = "Which meal would you like on board?"
    for grader in graders.values():
        assert grader.estimates([("served-1", "bus", text)])[0].probabilities["meal_choice"] < 0.5
    wordings = [
        "Which meal would you like?",
        "What do you want to eat on board?",
        "Vegetarian meal, or with meat?",
    ]
    pack = with_questions("meal_choice", wordings)
    context = grader_context(tmp_path, sessions(), pack=pack)
    run(context)
    grade = FieldGrader.load(context.out / "rewarding", pack).grade([case(text)])[0]
    assert isinstance(grade, Grade)
    assert grade.asked == {"meal_choice"}


def test_a_grade_depends_on_nothing_else_in_the_batch(published):
    texts = [wording for wordings in WORDINGS.values() for wording in wordings]
    texts += [f"{one} {two}" for one, two in zip(texts, texts[3:], strict=False)]
    cases = [case(text, session=f"trip-{number}", target="destination") for number, text in enumerate(texts)]
    whole = FieldGrader.load(published.out / "reporting", PACK).grade(cases)
    singly = FieldGrader.load(published.out / "reporting", PACK)
    assert [singly.grade([one])[0] for one in reversed(cases)] == whole[::-1]
    assert singly.grade(cases) == whole  # from memory


def test_the_graded_session_never_teaches_its_own_grade(tmp_path):
    """A session with nonsense labels must not affect the grades of its own questions; it may affect those of others."""
    text = "Blorp gazonk frumious bander?"
    odd = [labelled_session(1000 + number, [(text, ["number_of_seats"])]) for number in range(12)]
    alone = [labelled_session(2000, [("Wibble quux snark jabber?", ["departure_date"])])]
    context = grader_context(tmp_path, [*sessions(30), *odd, *alone])
    run(context)
    found = {}
    for role in ("rewarding", "reporting"):
        grader = FieldGrader.load(context.out / role, PACK)
        likely = grader.estimates(
            [("trip-1000", "bus", text), ("trip-2000", "bus", "Wibble quux snark jabber?")]
        )
        assert likely[0].probabilities["number_of_seats"] > 0.5  # eleven others say so
        found[role] = (likely[1].probabilities["departure_date"], grader)
        assert found[role][0] < 0.5
    graders = [grader for _, grader in found.values()]
    knowing = next(g for g in graders if any(e.session_id == "trip-2000" for e in g.fitted.examples))
    other = knowing.estimates([("served-1", "bus", "Wibble quux snark jabber?")])[0]
    own = knowing.estimates([("trip-2000", "bus", "Wibble quux snark jabber?")])[0]
    assert other.probabilities["departure_date"] > own.probabilities["departure_date"]


def test_the_same_labels_give_the_same_bytes_and_a_killed_stage_encodes_only_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "_JOURNAL_TEXTS", 16)
    encoded: list[str] = []
    plain = HashingEncoder.encode

    def dying(self, texts, report=None):
        if len(encoded) > 40:
            raise KeyboardInterrupt
        encoded.extend(texts)
        return plain(self, texts, report)

    def counting(self, texts, report=None):
        encoded.extend(texts)
        return plain(self, texts, report)

    monkeypatch.setattr(HashingEncoder, "encode", dying)
    killed = grader_context(tmp_path / "killed", sessions(20))
    with pytest.raises(KeyboardInterrupt):
        run(killed)
    first = set(encoded)
    encoded.clear()
    monkeypatch.setattr(HashingEncoder, "encode", counting)
    run(killed)
    assert first.isdisjoint(encoded)
    fresh = grader_context(tmp_path / "fresh", sessions(20))
    run(fresh)
    files = sorted(path.relative_to(fresh.out) for path in fresh.out.rglob("*") if path.is_file())
    assert len(files) == 9
    for name in files:
        assert (fresh.out / name).read_bytes() == (killed.out / name).read_bytes(), name


def test_nothing_is_pickled(published):
    for path in published.out.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as stored:
            assert all(stored[name].dtype != object for name in stored.files)


def test_lexicon_labels_are_not_called_truth_and_silence_is_unknown(tmp_path):
    labelled = [
        one.model_copy(
            update={
                "samples": tuple(
                    sample.model_copy(
                        update={
                            "provenance": sample.provenance.model_copy(update={"labeller": "lexicon"}),
                            "requested": () if sample.turn == 0 else sample.requested,
                        }
                    )
                    for sample in one.samples
                )
            }
        )
        for one in sessions(24)
    ]
    context = grader_context(tmp_path, labelled)
    record = run(context)["agreement"]
    assert "above" in record["gold"]["note"]
    assert record["fits"]["rewarding"]["questions"] + record["fits"]["reporting"]["questions"] == 48
    assert record["fits"]["rewarding"]["idle_questions"] == 0


def test_too_few_labels_are_an_error_a_person_can_act_on(tmp_path):
    context = grader_context(tmp_path, sessions(3))
    with pytest.raises(StageError, match=r"only 3 sessions .* patterns") as caught:
        run(context)
    assert caught.value.reason == "NothingToFitOn"


def test_a_guard_that_refuses_the_experts_stops_the_run_or_is_warned_of(tmp_path):
    def pack(**rules):
        return PACK.model_copy(update={"fluency": Fluency(**rules)})

    with pytest.raises(
        StageError, match=r"own 180 labelled.*minWords.*as in '.*', '.*', '.*Set fluency.minWords"
    ) as caught:
        run(grader_context(tmp_path / "strict", sessions(), pack=pack(min_words=30)))
    assert caught.value.reason == "GuardRefusesExperts"
    found = run(grader_context(tmp_path / "lax", sessions(), pack=pack(forbidden=(r"\bdestination\b",))))
    assert 0.1 < found["agreement"]["experts"]["refused"]["value"] < 0.5
    assert found["agreement"]["experts"]["reason"] == "a match of fluency.forbidden"
    (warning,) = (text for text in found["warnings"] if "the fluency guard refuses" in text)
    assert "'What is your destination?'" in warning


@pytest.mark.parametrize(("of_ten", "stops"), [(2, False), (6, True)])
def test_graders_that_are_unsure_of_the_experts_stop_the_run_or_are_warned_of(
    tmp_path, monkeypatch, of_ten: int, stops: bool
):
    """`maxMissingShare` allows any share here."""
    plain = FieldGrader.grade

    def unsure(self, cases):
        grades = plain(self, cases)
        return [MissingGrade("unsure") if at % 10 < of_ten else grade for at, grade in enumerate(grades)]

    monkeypatch.setattr(FieldGrader, "grade", unsure)
    spec = SimpleNamespace(grader=GraderSettings(encoder="hashing", max_missing_share=1))
    context = replace(grader_context(tmp_path, sessions()), spec=spec)
    told = "rewarding grader gives no grade for .* of the experts' own labelled questions"
    if stops:
        with pytest.raises(TooManyMissing, match=told):
            run(context)
        return
    found = run(context)
    assert re.search(told, found["warnings"][0])
    assert found["agreement"]["warnings"] == found["warnings"]


def test_requests_without_a_mark_are_learned_and_published_with_each_grader(tmp_path):
    labelled = []
    logs = swahili.write_logs(tmp_path / "logs.jsonl", 30)
    check_file(logs, swahili.PACK, Dataset(uri="logs.jsonl"), examine=labelled.append)
    context = grader_context(tmp_path / "stage", labelled, pack=swahili.PACK)
    record = run(context)["agreement"]
    assert record["experts"]["refused"]["value"] <= 0.02
    assert record["refused"]["made"]["value"] >= 0.98
    assert record["any_hit"]["value"] >= 0.95
    assert record["unsure"]["rewarding"]["no_grade"]["value"] <= 0.1
    assert "naomba …" in record["cues"]["examples"]
    for role in ("rewarding", "reporting"):
        folder = context.out / role
        grader = FieldGrader.load(folder, swahili.PACK)
        assert grader.digest == record["fits"][role]["digest"]
        (grade,) = grader.grade([case("Naomba kujua umri wako.", task="default", target="umri")])
        assert isinstance(grade, Grade)
        assert grade.content == 1.0
        (folder / "cues.json").write_text("[]")
        assert FieldGrader.load(folder, swahili.PACK).digest != grader.digest


def test_one_field_and_four_sessions_are_enough(tmp_path):
    pack = Pack.model_validate(
        {"name": "one", "tasks": [{"name": "bus", "fields": [{"name": "destination"}]}]}
    )
    labelled = [
        labelled_session(number, [(WORDINGS["destination"][number % 3], ["destination"])], split="test")
        for number in range(4)
    ]
    context = grader_context(tmp_path, labelled, pack=pack)
    assert run(context)["agreement"]["measured_on"]["questions"] == 4
    grade = FieldGrader.load(context.out / "rewarding", pack).grade([case("What is your destination?")])[0]
    assert isinstance(grade, Grade)
    assert grade.asked == {"destination"}


def test_a_grader_of_another_pack_is_refused(published, tmp_path):
    other = PACK.model_copy(update={"tasks": PACK.tasks[:1]})
    with pytest.raises(InputError, match="another pack"):
        FieldGrader.load(published.out / "rewarding", other)
    with pytest.raises(InputError, match="no grader that can be read"):
        FieldGrader.load(tmp_path, PACK)


def test_progress_names_the_steps(published):
    names = {message for _, _, message in published.progress.steps}
    assert "encoding questions" in names
    assert "reporting grader: comparing questions" in names
    assert all(0 <= done <= total for done, total, _ in published.progress.steps)
