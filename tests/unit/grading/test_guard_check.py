"""The check of the fluency guard against the experts' own questions."""

from __future__ import annotations

import pytest
from learntoask.core.pack import Fluency, Pack
from learntoask.core.text.words import words
from learntoask.grading.cues import Cue, LearnedCues
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
    assert figures["reason"] == "no sentence asks (fluency.questions)"
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


@pytest.mark.parametrize(
    ("texts", "rules", "remedy"),
    [
        (("您多大了？" * 3,), {"maxWords": 2}, "Raise fluency.maxWords"),
        (("您多大了？",), {"minWords": 9}, "Set fluency.minWords"),
        (("您多大了？",), {"forbidden": ("多大",)}, "Narrow fluency.forbidden"),
        (("抱歉，您多大了，抱歉？",), {}, "Narrow fluency.refusals"),
        (("好的。", "药师：您多大了？"), {}, "set language in the pack to that of the logs"),
    ],
)
def test_the_advice_fits_the_refusals_seen(
    texts: tuple[str, ...], rules: dict[str, object], remedy: str
) -> None:
    assert remedy.lower() in check(*texts, **rules).remedy.lower()


def test_nothing_is_advised_about_rules_that_refuse_nothing() -> None:
    assert "fluency.questions" not in check("您多大了？", forbidden=("多大",)).remedy
    assert check("您多大了？").remedy == ""


def test_questions_with_a_learned_cue_are_no_longer_refused() -> None:
    found = check("年龄告知。", "年龄告知。", "谢谢。")
    found.recheck(LearnedCues((Cue(place="is", words=words("年龄告知"), sessions=5, fields=1, others=0),)))
    assert (found.questions, found.refused) == (3, 1)
    assert found.figures()["examples"] == ["谢谢。"]
