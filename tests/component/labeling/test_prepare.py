"""The stages prepare and label on files: quarantine, counts, leaks, the split, memory, and `lta data check`."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learntoask.core.errors import InputError, StageError
from learntoask.core.manifest import Dataset, RunSpec
from learntoask.core.pack import Pack, load_pack
from learntoask.core.records import STOP, LabelledSession, Session
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.labeling import stage as label
from learntoask.labeling.check import CheckSettings, check_file
from learntoask.labeling.logs import stage as prepare
from worlds.annotated_logs import ROOT, logs_folder, made_pack

BOILERPLATE = ROOT / "tests/data/cases/boilerplate"
MARK = "<done>"
PACK = Pack.model_validate(
    {
        "name": "trains",
        "endMarkers": [MARK],
        "requireEndMarker": True,
        "tasks": [
            {
                "name": "ticket",
                "fields": [
                    {"name": "city", "patterns": [r"\bcity\b"], "answerPatterns": [r"\bin (\w+)"]},
                    {"name": "date", "patterns": [r"\bwhen\b"], "answerPatterns": [r"\bon (\w+)"]},
                ],
            }
        ],
    }
)


@dataclass
class Heard:
    """A progress that records its updates."""

    updates: list[tuple[float, float]] = field(default_factory=list)

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        self.updates.append((done, total))


@dataclass
class Run:
    """The two stages on files of one folder."""

    folder: Path
    pack: Pack = PACK
    spec: dict[str, Any] = field(default_factory=dict)
    method: str = "lexicon"
    label_spec: dict[str, Any] = field(default_factory=dict)
    progress: Heard = field(default_factory=Heard)

    def write(self, lines: Iterable[bytes | dict[str, Any]], name: str = "logs.jsonl") -> Path:
        path = self.folder / name
        path.write_bytes(
            b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)
        )
        return path

    def context(self, stage: str, files: dict[str, Path]) -> StageContext:
        spec = {
            "dataset": {"uri": "logs.jsonl", **self.spec},
            "pack": {"uri": "p"},
            "label": {"method": self.method, **self.label_spec},
        }
        for part in ("", "-work"):
            (self.folder / f"{stage}{part}").mkdir(exist_ok=True)
        return StageContext(
            stage=stage,
            key="k",
            spec=RunSpec.model_validate(spec),
            pack=self.pack,
            inputs={"prepare": self.folder / "prepare"},
            files=files,
            out=self.folder / stage,
            work=self.folder / f"{stage}-work",
            progress=self.progress,
        )

    def prepare(self, dataset: Path, test: Path | None = None) -> StageSummary:
        files = {"dataset": dataset} | ({} if test is None else {"test": test})
        return prepare.run(self.context("prepare", files))

    def label(self) -> StageSummary:
        return label.run(self.context("label", {}))

    def sessions(self) -> dict[str, Session]:
        lines = (self.folder / "prepare/sessions.jsonl").read_bytes().splitlines()
        return {one.session_id: one for one in map(Session.model_validate_json, lines)}

    def labelled(self) -> list[LabelledSession]:
        lines = (self.folder / "label/labelled.jsonl").read_bytes().splitlines()
        return [LabelledSession.model_validate_json(line) for line in lines]

    def quarantine(self, stage: str = "prepare") -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in (self.folder / stage / "quarantine.jsonl").read_bytes().splitlines()
        ]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def log(number: int, *contents: str, **keys: Any) -> dict[str, Any]:
    """A session of alternating messages, the user's first. By default, each number gives a different session."""
    words = " ".join(str((index * 7919 + number * 104729) % 10007) for index in range(40))
    texts = contents or (
        f"a ticket {words}",
        "Which city?",
        f"in Rome{number}",
        "And when?",
        "on Friday",
        f"Done {MARK}",
    )
    messages = [
        {"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(texts)
    ]
    return {"session_id": f"s{number}", "messages": messages, **keys}


def test_bad_lines_are_set_aside_and_the_run_goes_on(run: Run) -> None:
    lines: list[bytes | dict[str, Any]] = [
        b"\xef\xbb\xbf" + json.dumps(log(0)).encode() + b"\r",
        b'{"session_id": "cut',
        log(1),
        b"",
        log(1),
        b"\xff\xfe{\x00}\x00",
        log(2, "x" * 1_000_000, "Which city?"),
        {**log(3), "messages": []},
        b'"' + b"y" * 2_000_000 + b'"',
        *(log(number) for number in range(4, 20)),
        log(20, "only", f"{MARK}", "stops", f"{MARK}"),
        log(21, "which user", "Which city?", "left without a marker"),
    ]
    run.spec = {"max_line_bytes": 1_500_000}
    summary = run.prepare(run.write(lines))
    found = [(one["line"], one["reason"], one["field"]) for one in run.quarantine()]
    assert sorted(found) == [
        (2, "malformed-json", ""),
        (5, "duplicate-session-id", "session_id"),
        (6, "invalid-utf8", ""),
        (7, "message-too-long", "messages[0].content"),
        (8, "no-messages", "messages"),
        (9, "line-too-long", ""),
        (26, "only-stops", "messages"),
    ]
    assert all(
        one["source"] == "dataset" and one["message"] and len(one["excerpt"]) <= 300
        for one in run.quarantine()
    )
    assert next(one for one in run.quarantine() if one["line"] == 5)["message"].count("line 3 ") == 1
    assert sorted(run.sessions()) == sorted(f"s{number}" for number in (0, 1, *range(4, 20), 21))
    assert summary["sessions"] == 19
    assert summary["quarantined"] == 7
    assert summary["lines"] == 27
    assert summary["blank_lines"] == 1
    assert summary["ends"] == {"completed": 18, "abandoned": 1, "handoff": 0}
    assert summary["split"] == {"train": 13, "validation": 2, "test": 4}
    assert Counter(one.split for one in run.sessions().values()) == summary["split"]
    assert all(done <= total for done, total in run.progress.updates)
    assert run.progress.updates[-1][0] == run.progress.updates[-1][1] > 0


def test_messages_are_cleaned_and_the_summary_says_how_many(run: Run) -> None:
    plain, rich = log(1), log(2)
    first, second = rich["messages"][0], rich["messages"][1]
    first["content"] = f"<p>{first['content']}</p>"
    second["content"] = "\u202b" + second["content"].replace(" ", "\u00a0\u200b")
    summary = run.prepare(run.write([plain, rich]))
    assert summary["messages_with_html"] == 1
    assert summary["messages_with_unusual_characters"] == 1
    assert [str(warning)[:20] for warning in summary["warnings"]] == [
        "1 messages held HTML",
        "1 messages held invi",
    ]
    read = [message.content for message in run.sessions()["s2"].messages]
    assert read[:2] == [message["content"] for message in log(2)["messages"][:2]]
    assert run.prepare(run.write([plain]))["warnings"] == []


def test_extras_reach_the_labelled_sessions(run: Run) -> None:
    run.prepare(run.write([log(number, split="dev", customer={"tier": 2}) for number in range(5)]))
    run.label()
    assert all(one.session.extras == {"split": "dev", "customer": {"tier": 2}} for one in run.labelled())


# -- leaks -----------------------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(
    [
        "hello",
        "Which city?",
        "in Rome",
        "And when?",
        "on Friday",
        MARK,
        f"Ok {MARK}",
        STOP,
        f"<d{MARK}one> so",
        "I see",
    ]
)
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.just("user"), "content": TEXTS}),
        st.fixed_dictionaries(
            {"role": st.just("assistant"), "content": TEXTS},
            optional={"author": st.sampled_from(["expert", "policy"])},
        ),
    ),
    min_size=1,
    max_size=14,
)


def without_markers(text: str) -> str:
    while MARK in text or STOP in text:
        text = text.replace(MARK, "").replace(STOP, "")
    return text


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    logs=st.lists(MESSAGES, min_size=8, max_size=16),
    stop_at=st.sampled_from(["acts", "asking_done"]),
    mark=st.booleans(),
)
def test_contexts_are_whole_prefixes_without_markers(
    tmp_path_factory: pytest.TempPathFactory, logs: list[list[dict[str, str]]], stop_at: str, mark: bool
) -> None:
    run = Run(tmp_path_factory.mktemp("leak"))
    run.pack = PACK.model_copy(update={"stop_at": stop_at, "require_end_marker": mark})
    good = {f"s{number}": log(number)["messages"] for number in (98, 99)}
    raw = {f"s{number}": messages for number, messages in enumerate(logs)} | good
    run.spec = {"validation_share": 0.0}
    sessions = [{"session_id": name, "messages": messages} for name, messages in raw.items()]
    run.prepare(run.write(sessions[:-1]), test=run.write(sessions[-1:], "test.jsonl"))
    run.label()
    assert sum(1 for _ in run.quarantine()) + len(run.labelled()) == len(raw)
    for one in run.labelled():
        session, messages = one.session, raw[one.session.session_id]
        stops = [sample for sample in one.samples if sample.decision == "stop"]
        assert len(stops) <= 1
        assert not stops or (stops[0].turn == session.stop_turn == len(session.turns) - 1)
        assert not (stops and session.end == "abandoned")
        for sample in one.samples:
            turn = session.turns[sample.turn]
            context = session.messages[: turn.start]
            assert not any(marker in message.content for message in context for marker in (MARK, STOP))
            assert [message.content.strip() for message in context] == [
                without_markers(message["content"]).strip() for message in messages[: turn.start]
            ]
            assert next(message for message in reversed(context) if message.content).role == "user"
            assert (sample.decision == "stop") == (not sample.remaining)
            later = [
                message["content"] for message in messages[turn.start :] if message.get("author") != "policy"
            ]
            for item in sample.remaining:
                assert any({"city": "city?", "date": "when?"}[item.field] in text for text in later)


# -- split -----------------------------------------------------------------------------------------------------------


def nearly(session: dict[str, Any], name: str) -> dict[str, Any]:
    messages = [dict(message) for message in session["messages"]]
    messages[2]["content"] = messages[2]["content"].upper() + " !"
    return {**session, "session_id": name, "messages": messages}


def test_near_duplicates_stay_on_one_side(run: Run) -> None:
    originals = [log(number) for number in range(60)]
    summary = run.prepare(
        run.write([*originals, *(nearly(one, f"copy-{i}") for i, one in enumerate(originals[:30]))])
    )
    sessions = run.sessions()
    sides = Counter(sessions[f"s{i}"].split for i in range(30))
    assert all(sessions[f"s{i}"].split == sessions[f"copy-{i}"].split for i in range(30))
    assert len(sides) == 3
    assert summary["sessions_in_near_duplicate_clusters"] == 60
    assert summary["largest_near_duplicate_cluster"] == 2
    assert summary["split"] == {"train": 63, "validation": 9, "test": 18}


def test_given_test_logs_are_the_test_split_and_their_likes_leave_training(run: Run) -> None:
    train = run.write([*(log(number) for number in range(20)), nearly(log(30), "near"), log(31)])
    test = run.write([log(number) for number in range(30, 36)], "test.jsonl")
    summary = run.prepare(train, test)
    assert summary["split"] == {"train": 18, "validation": 2, "test": 6}
    found = {(one["source"], one["line"], one["reason"]) for one in run.quarantine()}
    assert found == {("dataset", 21, "near-duplicate-of-test"), ("dataset", 22, "duplicate-session-id")}
    assert {name for name, one in run.sessions().items() if one.split == "test"} == {
        f"s{i}" for i in range(30, 36)
    }
    assert run.quarantine()[-1]["message"].count("line 2 of the test file") == 1


def test_the_same_logs_give_the_same_bytes_whatever_a_killed_attempt_left(run: Run) -> None:
    path = run.write([log(number) for number in range(30)])
    run.prepare(path)
    before = (run.folder / "prepare/sessions.jsonl").read_bytes()
    for name in ("spool.jsonl", "signatures.bin"):
        (run.folder / "prepare-work" / name).write_bytes(b"half a line" * 1000)
    run.prepare(path)
    assert (run.folder / "prepare/sessions.jsonl").read_bytes() == before
    assert not list((run.folder / "prepare-work").iterdir())
    run.spec = {"seed": 1}
    run.prepare(path)
    assert (run.folder / "prepare/sessions.jsonl").read_bytes() != before


def test_max_sessions_takes_the_first(run: Run) -> None:
    run.spec = {"max_sessions": 5}
    summary = run.prepare(run.write([b"no session", *(log(number) for number in range(9))]))
    assert list(run.sessions()) == [f"s{number}" for number in range(5)]
    assert summary["lines"] == 6


# -- refusals --------------------------------------------------------------------------------------------------------


def test_logs_that_cannot_be_read(run: Run) -> None:
    for path in (run.folder, run.folder / "missing.jsonl"):
        with pytest.raises(InputError, match=path.name):
            run.prepare(path)


def test_nothing_to_train_on(run: Run) -> None:
    with pytest.raises(StageError, match="1 malformed-json"):
        run.prepare(run.write([b"{"]))
    with pytest.raises(StageError, match="empty"):
        run.prepare(run.write([]))
    test = run.write([log(1)], "test.jsonl")
    with pytest.raises(StageError, match="1 near-duplicate-of-test"):
        run.prepare(run.write([nearly(log(1), "near")]), test)
    with pytest.raises(StageError, match=r"no line of empty\.jsonl is a session"):
        run.prepare(run.write([log(1)]), run.write([b"", b"{"], "empty.jsonl"))


@pytest.mark.parametrize(
    "name", ["prepare/sessions.jsonl", "prepare/quarantine.jsonl", "prepare-work/spool.jsonl"]
)
def test_a_full_disk_is_said_to_be_full(run: Run, name: str) -> None:
    path = run.write([log(1), b"{"])
    run.context("prepare", {})
    (run.folder / name).symlink_to("/dev/full")
    with pytest.raises(StageError, match=f"no space left.*{Path(name).name}") as caught:
        run.prepare(path)
    assert caught.value.reason == "DiskFull"


def test_failed_labels_are_counted_and_too_many_stop_the_stage(run: Run) -> None:
    run.method = "annotated"
    turns = [{"msg": 1, "requested": []}, {"msg": 3, "requested": []}, {"msg": 5, "requested": []}]
    turns[0]["requested"] = [{"item": "city", "value": "Rome", "answer_msg": 2}]
    broken = [{**turns[0], "requested": [{"item": "colour", "value": "red", "answer_msg": 2}]}, *turns[1:]]
    logs = [log(number, annotations={"turns": turns}) for number in range(9)]
    run.prepare(run.write([*logs, log(9, annotations={"turns": broken})]))
    summary = run.label()
    assert (summary["failed"], summary["decision_points"]) == (1, 30)
    assert summary["samples"] == {"continue": 9, "stop": 10}
    assert summary["dropped_empty_micro_goal"] == 10
    (failure,) = run.quarantine("label")
    assert (failure["session_id"], failure["turn"], failure["message_index"]) == ("s9", 0, 1)
    assert failure["reason"] == "unknown-field"
    assert "colour" in failure["message"]

    run.prepare(run.write([*logs, *(log(number, annotations={}) for number in range(9, 14))]))
    with pytest.raises(StageError, match=r"15 of 42 .*\(15 no-annotations\).*maxFailedShare = 0.2"):
        run.label()


def test_a_pack_that_fits_nothing_is_said_to_fit_nothing(run: Run) -> None:
    run.prepare(run.write([log(number, "hi", "Name?", "Ann", "Bye") for number in range(3)]))
    with pytest.raises(StageError, match="found no sample in 3 sessions"):
        run.label()


def test_logs_without_any_stop_cannot_teach_stopping(run: Run) -> None:
    path = run.write([log(number, "hi", "Which city?", "in Rome", "And when?") for number in range(3)])
    run.prepare(path)
    with pytest.raises(StageError, match="none of the 3 sessions holds a stop") as caught:
        run.label()
    assert caught.value.reason == "NoStops"
    run.label_spec = {"require_stops": False}
    run.prepare(path, test=run.write([log(9, "hey", "Which city?", "Oslo", "And when?")], "test.jsonl"))
    assert run.label()["samples"] == {"continue": 4}
    few, warning = check_file(path, PACK, Dataset(uri="logs.jsonl")).warnings
    assert few.startswith("a run needs 4 sessions or more")
    assert warning.startswith("no session holds a stop")


def test_logs_whose_test_sessions_have_no_label_are_refused_before_anything_is_trained(run: Run) -> None:
    silent = log(9, "hi", "Hello! Bye", "bye", "Bye")
    run.label_spec = {"require_stops": False}
    run.prepare(run.write([log(number) for number in range(8)]), test=run.write([silent], "test.jsonl"))
    with pytest.raises(
        StageError, match=r"none of the \d+ labelled decision points is in the test split"
    ) as caught:
        run.label()
    assert caught.value.reason == "NothingToEvaluate"


def test_items_that_the_pack_does_not_list_are_counted_by_name(run: Run) -> None:
    run.method = "annotated"
    asked = {"value": "Rome", "answer_msg": 2}
    turns = [
        {"msg": 1, "requested": [{"item": "city", **asked}, {"item": "colour", **asked}]},
        {"msg": 3, "requested": [{"item": "size", **asked, "answer_msg": 4}]},
        {"msg": 5, "requested": []},
    ]
    path = run.write([log(number, annotations={"turns": turns}) for number in range(4)])
    run.prepare(path)
    run.label_spec = {"unknown_items": "ignore"}
    summary = run.label()
    assert (summary["failed"], summary["samples"]) == (0, {"continue": 4, "stop": 4})
    assert summary["unknown_items"] == 8
    assert summary["commonest_unknown_items"] == {"colour": 4, "size": 4}

    report = check_file(path, PACK, Dataset(uri="logs.jsonl"))
    assert report.unknown_items == {"colour": 4, "size": 4}
    assert any(
        "8 annotated items are not in the pack (colour (4), size (4))" in one for one in report.warnings
    )
    ignoring = check_file(
        path, PACK, Dataset(uri="logs.jsonl"), settings=CheckSettings(unknown_items="ignore")
    )
    assert ignoring.ok


def test_a_pattern_that_backtracks_without_end_is_named_with_its_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learntoask.core.text.patterns.LONGEST_SEARCH", 0.2)
    slow = r"(?:a|aa)+$"
    pack = PACK.model_copy(update={"exclusions": (r"\bspam\b", slow)})
    path = run.write([log(1), log(2, "a" * 200 + "!", "Which city?", "in Rome", f"Done {MARK}")])
    with pytest.raises(InputError) as caught:
        check_file(path, pack, Dataset(uri="logs.jsonl"))
    assert caught.value.reason == "SlowPattern"
    assert repr(slow) in str(caught.value)
    assert f"line 2 of {path}" in str(caught.value)
    run.pack = pack
    with pytest.raises(InputError, match="line 2 of"):
        run.prepare(path)


# -- shared text -----------------------------------------------------------------------------------------------------


def test_a_greeting_that_all_sessions_share_makes_them_no_near_duplicates(run: Run) -> None:
    run.pack = load_pack(BOILERPLATE / "pack.yaml")
    logs = BOILERPLATE / "logs.jsonl"
    summary = run.prepare(logs)
    assert summary["split"] == {"train": 84, "validation": 12, "test": 24}
    assert summary["largest_near_duplicate_cluster"] == 1
    # These experts indeed never ask since when.
    (warning,) = check_file(logs, run.pack, Dataset(uri="logs.jsonl")).warnings
    assert warning == "no expert ever asks for default: since"


def test_a_greeting_that_the_test_logs_share_takes_nothing_from_training(run: Run) -> None:
    run.pack = load_pack(BOILERPLATE / "pack.yaml")
    summary = run.prepare(BOILERPLATE / "logs.jsonl", BOILERPLATE / "test.jsonl")
    assert Counter(one["reason"] for one in run.quarantine()) == {"duplicate-session-id": 24}
    assert sum(summary["split"].values()) - summary["split"]["test"] == 96
    assert summary["split"]["test"] == 24


def test_check_warns_of_a_large_cluster_and_names_what_it_shares(run: Run) -> None:
    copies = [
        log(number, *TALK[:3], "And when?", f"on Friday {number}", f"Done {MARK}") for number in range(30)
    ]
    path = run.write([*(log(number) for number in range(100, 150)), *copies])
    (warning,) = check_file(path, PACK, Dataset(uri="logs.jsonl")).warnings
    assert warning.startswith(
        "30 of 80 sessions are nearly the same as that of line 51; they share 'i need a ticket"
    )
    assert "dataset.nearDuplicate" in warning


TALK = (
    "I need a ticket for the early train to the sea, with a window and a place for my bicycle",
    "Which city?",
    "in Rome",
)


# -- memory ----------------------------------------------------------------------------------------------------------


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_session_costs_less_than_200_bytes(run: Run) -> None:
    small, large = (
        run.write(
            [log(number, f"ticket {number}", "Which city?", "Rome", MARK) for number in range(count)],
            str(count),
        )
        for count in (500, 3000)
    )
    run.prepare(small)  # whatever is cached is cached
    before, after = peak_bytes(lambda: run.prepare(small)), peak_bytes(lambda: run.prepare(large))
    assert (after - before) / 2500 < 200


# -- check -----------------------------------------------------------------------------------------------------------


def test_check_reports_what_a_run_would_find(run: Run) -> None:
    path = run.write(
        [b"{", *(log(number) for number in range(6)), log(2), log(6, "hi", "Where to?", "Rome", f"Ok {MARK}")]
    )
    report = check_file(path, PACK, Dataset(uri="logs.jsonl"))
    assert not report.ok
    assert report.quarantined == {"malformed-json": 1, "duplicate-session-id": 1}
    assert sum(report.ends.values()) == report.sessions  # a repeated session is not counted
    assert [(one.line, one.reason) for one in report.problems] == [
        (1, "malformed-json"),
        (8, "duplicate-session-id"),
    ]
    assert (report.lines, report.sessions, report.labellers) == (9, 7, {"lexicon": 7})
    assert report.ends == {"completed": 7, "abandoned": 0, "handoff": 0}
    assert (report.continue_samples, report.stop_samples, report.dropped_empty) == (12, 7, 1)
    assert (report.questions, report.unnamed_questions) == (13, 1)
    assert [(one.field, one.sessions, one.asked, one.given) for one in report.coverage] == [
        ("city", 7, 6, 6),
        ("date", 7, 6, 6),
    ]
    assert check_file(run.write([log(1)]), PACK, Dataset(uri="logs.jsonl")).ok


def test_check_names_the_shared_text_where_a_session_is_repeated(run: Run) -> None:
    greeting = "Welcome to our desk, we are here from nine to five. " * 40
    alike = [log(number, f"{greeting} ticket {number}", "Which city?", "Rome", MARK) for number in range(40)]
    copies = [log(100 + number, "the same words again and again") for number in range(12)]
    repeated = run.write([alike[0], alike[0], alike[0], *alike[1:], *copies], "repeated")
    once = run.write([*alike, *copies], "once")
    dataset = Dataset(uri="logs.jsonl")
    lines = check_file(repeated, PACK, dataset).warnings
    assert [line.replace("line 43", "line 41") for line in lines] == list(
        check_file(once, PACK, dataset).warnings
    )
    assert any("sessions are nearly the same as that of line" in line for line in lines)


def test_check_warns_of_a_language_without_phrases(run: Run) -> None:
    path = run.write([log(1)])
    report = check_file(path, PACK.model_copy(update={"language": "Korean"}), Dataset(uri="logs.jsonl"))
    assert any("no phrases of language 'Korean'" in warning for warning in report.warnings)
    known = check_file(path, PACK.model_copy(update={"language": "ko-KR"}), Dataset(uri="logs.jsonl"))
    assert not any("no phrases" in warning for warning in known.warnings)


def test_check_lists_the_same_problem_of_a_line_once_with_how_often(run: Run) -> None:
    item = {"item": "colour", "value": "red", "answer_msg": 4}
    turns = [{"msg": index, "requested": [item]} for index in (1, 3)] + [{"msg": 5, "requested": []}]
    report = check_file(run.write([log(1, annotations={"turns": turns})]), PACK, Dataset(uri="logs.jsonl"))
    assert [(problem.line, problem.reason, problem.times) for problem in report.problems] == [
        (1, "unknown-field", 2)
    ]
    assert str(report.problems[0]).endswith("(2 times on this line)")
    assert report.failed_labels == {"unknown-field": 2}


def test_check_lists_the_same_problem_of_many_lines_once_with_the_lines(run: Run) -> None:
    wrong = [
        {"session_id": f"w{number}", "messages": [{"role": "robot", "content": "x"}]} for number in range(8)
    ]
    tasks = [log(number, task=f"task {'abcdefgh'[number]}") for number in range(8)]
    report = check_file(run.write([*wrong, *tasks]), PACK, Dataset(uri="logs.jsonl"))
    assert [(problem.line, problem.reason, problem.lines) for problem in report.problems] == [
        (1, "wrong-role", 8),
        (9, "unknown-task", 1),
        (10, "unknown-task", 1),
        (11, "unknown-task", 1),
        (12, "unknown-task", 5),
    ]
    assert str(report.problems[0]).endswith("(also in lines 2, 3, 4, 5 and 3 more; 8 times in all)")
    assert "'task d'" in (rest := report.problems[-1].message)
    assert rest.endswith("Others have other values")
    assert report.quarantined == {"wrong-role": 8, "unknown-task": 8}


def test_check_says_why_a_file_holds_no_session(run: Run) -> None:
    session = log(1)
    for content, says in (
        (b"", "the file is empty"),
        (json.dumps([session], indent=1).encode(), "one JSON list: jq -c '.[]'"),
        (json.dumps(session, indent=1).encode(), "the objects span several lines: jq -c ."),
    ):
        (warning,) = check_file(run.write([content]), PACK, Dataset(uri="logs.jsonl")).warnings
        assert says in warning


def test_check_says_that_no_answer_counts_rather_than_that_nothing_is_asked(run: Run) -> None:
    pack = PACK.model_copy(update={"non_answers": ("in|on",)})
    path = run.write([log(number) for number in range(20)])
    warnings = check_file(path, pack, Dataset(uri="logs.jsonl")).warnings
    assert any("nonAnswers of the pack" in warning for warning in warnings)
    assert not any("nothing left to ask" in warning for warning in warnings)


def test_check_says_which_labeller_it_used_and_why(run: Run) -> None:
    turns = [{"msg": index, "requested": []} for index in (1, 3, 5)]
    path = run.write([log(1, annotations={"turns": turns}), log(2), log(3)])
    dataset = Dataset(uri="logs.jsonl")
    by_itself = check_file(path, PACK, dataset)
    assert by_itself.labellers == {"annotated": 1, "lexicon": 2}
    assert by_itself.labeller_reason.startswith(
        "1 sessions labelled by annotated, because they have the key `annotations`; 2 without it by lexicon"
    )
    as_asked = check_file(path, PACK, dataset, settings=CheckSettings(method="lexicon"))
    assert as_asked.labellers == {"lexicon": 3}
    assert as_asked.labeller_reason == "labelled by lexicon, as asked for"
    assert (
        "asks no model"
        in check_file(path, PACK, dataset, settings=CheckSettings(method="llm")).labeller_reason
    )


def test_check_warns_of_a_limit_that_cuts_most_questions_of_the_experts(run: Run) -> None:
    question = "So that I can book the right one for you, which city would you like to travel to?"
    path = run.write([log(number, f"hi {number}", question, "in Rome", MARK) for number in range(4)])
    dataset = Dataset(uri="logs.jsonl")
    assert check_file(path, PACK, dataset).warnings == ()
    (warning,) = check_file(path, PACK, dataset, settings=CheckSettings(max_new_tokens=16)).warnings
    assert warning.startswith("4 of 4 questions of the experts are longer than about 16 tokens")
    assert "train.maxNewTokens" in warning


# -- real logs -------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_sgd_labels_are_the_annotations(run: Run) -> None:
    source = logs_folder("sgd")
    run.pack, run.method = made_pack("sgd", run.folder), "annotated"
    prepared = run.prepare(source / "train.jsonl", source / "test.jsonl")
    labelled = run.label()
    assert prepared["split"] == {"train": 540, "validation": 60, "test": 200}
    assert (prepared["quarantined"], labelled["failed"]) == (0, 0)
    assert labelled["samples"] == {"continue": 1067 + 335, "stop": 800}
    for one in run.labelled():
        notes: Any = one.session.extras["annotations"]
        gold = {
            turn["msg"]: turn for turn in notes["turns"] if turn["decision"] == "stop" or turn["remaining"]
        }
        assert [one.session.turns[sample.turn].start for sample in one.samples] == sorted(gold)
        for sample in one.samples:
            turn = gold[one.session.turns[sample.turn].start]
            assert sample.decision == turn["decision"]
            assert {(item.field, item.value) for item in sample.remaining} == {
                (item["item"], item["value"]) for item in turn["remaining"]
            }
        given = {(answer.field, answer.value) for answer in one.answers}
        assert given >= {(item["item"], item["value"]) for item in notes["known_at_start"]}
        assert given >= {
            (item["item"], item["value"]) for turn in notes["turns"] for item in turn["requested"]
        }
