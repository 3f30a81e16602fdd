"""Whether a judge's marks follow from its findings, and which settings change a judge's digest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.stages.graph import STAGE_BY_NAME, pack_digests
from learntoask.grading.grades import question_grade
from learntoask.grading.judge.verdict import contradictions, form_for, grade_of
from pydantic import ValidationError

FIELDS = ("age", "fever", "duration")
Form = form_for(FIELDS)
some = st.frozensets(st.sampled_from(FIELDS))


def judgement(asked: frozenset[str] | str, content: object, form: object):
    listed = asked.split() if isinstance(asked, str) else sorted(asked)
    return Form.model_validate(
        {"reason": " because\n of it ", "asked": listed, "content": content, "format": form}
    )


@given(asked=some, target=some)
def test_the_marks_of_the_rubric_never_contradict_what_was_found(
    asked: frozenset[str], target: frozenset[str]
):
    hits = len(asked & target)
    content = "0" if not hits else "1" if asked <= target else "0.5"
    form = {1: "1", 2: "0.5"}.get(len(asked), "0")
    found = judgement(asked, content, form)
    assert not list(contradictions(found, target))
    grade, by_rule = grade_of(found, target), question_grade(asked, target=target)
    assert (grade.content_any, grade.format, grade.asked) == (by_rule.content_any, by_rule.format, asked)
    assert (grade.content == 0) == (by_rule.content == 0)
    assert (grade.content == 1) == (by_rule.content == 1)
    assert grade.reason == "because of it"


@given(asked=some, target=some, form=st.sampled_from(["1", "0.5", "0"]))
def test_full_marks_need_something_asked_and_nothing_known(
    asked: frozenset[str], target: frozenset[str], form: str
):
    accepted = not list(contradictions(judgement(asked, "1", form), target))
    assert not accepted or (asked and asked <= target)


@pytest.mark.parametrize(
    ("asked", "content", "form", "finding"),
    [
        ("", "1", "1", "content is 1, but you list no field"),
        ("age", "1", "1", "list age as asked for, which is not still needed"),
        ("fever", "0", "1", "list fever as asked for, which is still needed"),
        ("fever age", "0.5", "1", "format is 1, but you list 2 fields"),
        ("fever age duration", "0.5", "0.5", "format is 0.5, but you list 3 fields"),
    ],
)
def test_what_contradicts_itself_is_named(asked: str, content: str, form: str, finding: str):
    assert any(
        finding in one for one in contradictions(judgement(asked, content, form), frozenset({"fever"}))
    )


def test_nothing_comes_near_where_nothing_is_needed():
    assert list(contradictions(judgement("", "0.5", "1"), frozenset()))


@pytest.mark.parametrize("mark", [1, 1.0, "1"])
def test_numbers_are_marks_too(mark: object):
    assert grade_of(judgement("fever", mark, 0.5), frozenset({"fever"})).content == 1.0


@pytest.mark.parametrize("mark", [True, 0.7, "one", None, 2])
def test_other_marks_are_none(mark: object):
    with pytest.raises(ValidationError):
        judgement("fever", mark, "1")


def spec(**grader: object) -> RunSpec:
    return RunSpec.model_validate({"dataset": {"uri": "x"}, "pack": {"uri": "y"}, "grader": grader})


def grading(settings: RunSpec) -> dict:
    return STAGE_BY_NAME["grader"].settings(settings)


ENDPOINT = {"uri": "http://judge:8000/v1", "model": "m"}


def test_where_a_grader_runs_makes_it_no_other():
    service = {"address": "grader:50061", "reportingAddress": "r:1", "timeout": "9s", "retryFor": "1h"}
    assert grading(spec()) == grading(spec(**service, hedgeAfter="2s"))
    assert grading(spec()) == {"encoder": "minilm", "maxMissingShare": 0.2}
    for name in ("grpo", "evaluate"):
        stage = STAGE_BY_NAME[name]
        assert stage.settings(spec()) == stage.settings(spec(**service))


def test_another_judge_is_another_grader_another_limit_is_not():
    def judged(**changes: object) -> dict:
        limits = {
            key: changes.pop(key) for key in ("budget", "minKappa", "contextMessages") if key in changes
        }
        return grading(spec(method="llm", llm={"endpoint": ENDPOINT | changes, **limits}))

    assert judged() != grading(spec())
    assert judged() == judged(concurrency=3, timeout="5s", retryFor="1m", apiKeyEnv="KEY")
    assert judged() == judged(budget={"requests": 9})
    for change in ({"model": "n"}, {"seed": 3}, {"contextMessages": 3}, {"minKappa": 0.6}):
        assert judged() != judged(**change)


def test_only_a_judge_depends_on_its_prompt():
    plain = {"name": "p", "tasks": [{"name": "default", "fields": [{"name": "age"}]}]}
    before, after = (
        pack_digests(Pack.model_validate({**plain, "prompts": prompts})) for prompts in ({}, {"judge": "J"})
    )
    assert {part for part in before if before[part] != after[part]} == {"judging"}
    stage = STAGE_BY_NAME["grader"]
    assert stage.pack(spec()) == "grading"
    assert stage.pack(spec(method="llm", llm={"endpoint": ENDPOINT})) == "judging"


@pytest.mark.parametrize(
    ("grader", "finding"),
    [
        ({"method": "llm"}, "needs llm.endpoint"),
        ({"address": "http://x:1"}, "address"),
        ({"address": "host"}, "address"),
        ({"llm": {"endpoint": ENDPOINT, "budget": {"cost": 1}}}, "needs endpoint.prices"),
    ],
)
def test_settings_that_cannot_work_are_refused(grader: dict, finding: str):
    with pytest.raises(ValidationError, match=finding):
        spec(**grader)
