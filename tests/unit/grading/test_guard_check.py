"""The check of the fluency guard against the experts' own questions."""

from __future__ import annotations

from learntoask.core.pack import Fluency, Pack
from learntoask.grading.examples import Example
from learntoask.grading.guard_check import GuardCheck

PACK = Pack.model_validate(
    {"name": "p", "language": "zh", "tasks": [{"name": "default", "fields": [{"name": "f"}]}]}
)


def check(*texts: str, **rules: object) -> GuardCheck:
    found = GuardCheck(PACK.model_copy(update={"fluency": Fluency.model_validate(rules)}))
    found.add(Example(session_id="s", task="default", text=text, asked=frozenset({"f"})) for text in texts)
    return found


def test_the_commonest_reason_has_different_examples() -> None:
    found = check(*["好的。"] * 4, "谢谢。", "您多大了？", "知道了。", "没事。", "x" * 50 + "？")
    assert (found.questions, found.refused) == (9, 8)
    figures = found.figures()
    assert figures["reason"] == "no sentence asks (fluency.questions, fluency.refusals)"
    assert figures["examples"] == ["好的。", "谢谢。", "知道了。"]
    assert "refuses 8 of the experts' own 9 labelled questions (89%); most often: no sentence asks" in str(
        found
    )


def test_a_long_question_without_spaces_is_shown_from_its_beginning() -> None:
    (shown,) = check("您多大了" * 60 + "？", maxWords=5).figures()["examples"]
    assert shown.startswith("您多大了您多大了")
    assert len(shown) <= 100


def test_nothing_refused_has_no_reason() -> None:
    assert check("您多大了？").figures().keys() == {"refused"}
    assert "refuses 0 of" in str(check())
