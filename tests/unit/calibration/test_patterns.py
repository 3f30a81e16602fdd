"""Patterns that questions suggest which people have read."""

from __future__ import annotations

from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import LABELLER, Finding
from learntoask.calibration.revise.patterns import apply_edits, propose_patterns
from learntoask.labeling.logs.patterns import any_of
from worlds.calibration import PACK, answered

TEXTS = {
    "old": "How old are you?",
    "old2": "And how old is she?",
    "born": "Is this for a child?",
    "none": "Are you still there?",
    "long": "How long has it hurt?",
}


def finding(name, *fields):
    return Finding(
        session_id=name,
        split="train",
        task="visit",
        turn=0,
        text=TEXTS[name],
        question=True,
        asks={LABELLER: fields},
    )


FINDINGS = [finding("old"), finding("old2"), finding("born"), finding("none"), finding("long", "duration")]
AGE = {"age": True, "duration": False, "allergies": False}
NONE = dict.fromkeys(AGE, False)


def test_a_pattern_matches_like_questions_and_none_that_people_say_asks_for_nothing():
    read = [answered("asks_for", 0, AGE, session_id="old"), answered("asks_for", 0, NONE, session_id="none")]
    edits = propose_patterns(PACK, read, FINDINGS, {})
    (pattern,) = [edit for edit in edits if edit.action == "add pattern"]
    assert (pattern.field, pattern.because) == ("age", ("old:0:asks_for",))
    search = any_of((pattern.text,))
    assert search(TEXTS["old"])
    assert search(TEXTS["old2"])
    assert not search(TEXTS["none"])
    assert not search(TEXTS["long"])


def test_a_question_that_patterns_match_already_changes_nothing():
    read = [answered("asks_for", 0, {**NONE, "duration": True}, session_id="long")]
    assert all(edit.action == "add question" for edit in propose_patterns(PACK, read, FINDINGS, {}))


def test_a_pattern_that_is_wrong_more_often_than_right_is_removed():
    texts = [f"How long is your name, {name}?" for name in ("ann", "bob")]
    findings = [
        Finding(session_id=f"w{n}", split="train", task="visit", turn=0, text=text, question=True)
        for n, text in enumerate(texts)
    ]
    read = [answered("asks_for", 0, NONE, session_id=f"w{n}") for n in range(2)]
    (edit,) = propose_patterns(PACK, read, findings, {})
    assert (edit.action, edit.field, edit.text) == ("remove pattern", "duration", r"\bhow long\b")
    assert apply_edits(PACK, [edit]).tasks[0].fields[1].patterns == ()


def test_edits_leave_the_pack_as_it_is_and_are_added_once():
    read = [answered("asks_for", 0, AGE, session_id="old")]
    edits = propose_patterns(PACK, read, FINDINGS, {})
    revised = apply_edits(PACK, [*edits, *edits])
    assert revised.tasks[0].fields[0].questions == (TEXTS["old"],)
    assert len(revised.tasks[0].fields[0].patterns) == 2
    assert PACK.tasks[0].fields[0].patterns == (r"\bage\b",)


def test_words_of_scripts_without_spaces_become_patterns_too():
    text = "何歳ですか？"
    one = Finding(
        session_id="ja", split="train", task="visit", turn=0, text=text, question=True, asks={LABELLER: ()}
    )
    edits = propose_patterns(PACK, [answered("asks_for", 0, AGE, session_id="ja")], [one], {})
    patterns = [edit.text for edit in edits if edit.action == "add pattern"]
    assert patterns
    assert any_of(tuple(patterns))("あなたは何歳ですか")


def question(name: str, text: str, *fields: str) -> Finding:
    return Finding(
        session_id=name,
        split="train",
        task="visit",
        turn=0,
        text=text,
        question=True,
        asks={LABELLER: fields},
    )


def added(findings: list[Finding], read: list[Answered]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for edit in propose_patterns(PACK, read, findings, {}):
        if edit.action == "add pattern":
            found.setdefault(edit.field, []).append(edit.text)
    return found


def test_words_about_one_field_are_not_learned_for_the_other_field_of_the_same_message():
    both = question("both", "Since when? And how many years have you got?")
    since = question("since", "Since when is that?")
    read = [
        answered("asks_for", 0, {**NONE, "age": True, "duration": True}, session_id="both"),
        answered("asks_for", 0, {**NONE, "duration": True}, session_id="since"),
    ]
    found = added([both, since], read)
    assert any_of(tuple(found["duration"]))("Since when has it been so?")
    assert not any_of(tuple(found["age"]))("Since when has it been so?")
    assert any_of(tuple(found["age"]))("How many years have you got?")


def test_a_message_about_two_unknown_fields_alone_teaches_nothing():
    both = question("both", "Since when? And how many years have you got?")
    read = [answered("asks_for", 0, {**NONE, "age": True, "duration": True}, session_id="both")]
    assert added([both], read) == {}


def test_questions_that_the_labeller_understands_do_not_speak_for_a_pattern():
    # "this" is in many questions about the duration; it would be wrong in those that no pattern finds.
    known = [question(f"k{n}", f"How long has this hurt, {n}?", "duration") for n in range(30)]
    others = [question(f"o{n}", f"Is this about somebody over {n}?") for n in range(30)]
    (read_one,) = [question("read", "And this started when?")]
    read = [answered("asks_for", 0, {**NONE, "duration": True}, session_id="read")]
    found = added([*known, *others, read_one], read)
    search = any_of(tuple(found["duration"]))
    assert search("And this started when?")
    assert not search("Is this about somebody over 7?")


def test_a_field_found_in_another_sentence_does_not_speak_against_a_pattern():
    texts = [f"How old is she? And how long has it hurt, {n}?" for n in range(8)]
    findings = [question(f"b{n}", text, "duration") for n, text in enumerate(texts)]
    findings.append(question("read", "How old?"))
    read = [answered("asks_for", 0, AGE, session_id="read")]
    assert any_of(tuple(added(findings, read)["age"]))(texts[0])
