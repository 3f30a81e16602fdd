"""What becomes of labels that findings or people contradict."""

from __future__ import annotations

from learntoask.calibration.labels.corrections import correct
from learntoask.calibration.labels.purge import People, decide_fate
from worlds.calibration import PACK, findings_of, labelled_log, sample

NOBODY = People({}, {}, {})


def labels(corrections, log):
    found = corrections.sessions.get(log.session_id)
    labelled = found.labelled if found else log.labelled
    return {one.turn: (one.decision, {item.field for item in one.remaining}) for one in labelled.samples}


def test_without_answers_no_label_changes_however_doubtful():
    log = labelled_log(samples=[sample(0, ["allergies"], "age"), sample(3)])
    assert not correct([log], findings_of(log), NOBODY, pack=PACK).changed


def test_a_person_corrects_a_micro_goal():
    log = labelled_log(
        samples=[sample(0, ["age", "duration", "allergies"], "age"), sample(1, ["age"], "duration")]
    )
    people = People({}, {}, {("s1", 1): frozenset({"duration", "allergies"})})
    done = correct([log], findings_of(log), people, pack=PACK)
    assert labels(done, log)[1] == ("continue", {"duration", "allergies"})
    corrected = next(one for one in done.sessions["s1"].labelled.samples if one.turn == 1)
    assert corrected.provenance.labeller == "people"
    assert {item.field: item.value for item in corrected.remaining}["allergies"] == "to nuts"


def test_a_stop_that_a_person_rejects_goes_on_to_where_the_log_says_that_the_expert_acts():
    log = labelled_log(samples=[sample(0, ["age", "duration", "allergies"], "age"), sample(1)], stop=1)
    done = correct([log], findings_of(log), People({}, {("s1", 1): False}, {}), pack=PACK)
    assert labels(done, log) == {
        0: ("continue", {"age", "duration", "allergies"}),
        1: ("continue", {"duration", "allergies"}),
        2: ("continue", {"allergies"}),
        3: ("stop", set()),
    }
    session = done.sessions["s1"].labelled.session
    assert (session.stop_turn, len(session.turns), session.end) == (3, 4, "completed")


def test_labels_like_those_that_people_reject_are_corrected_and_others_are_not():
    def noisy(number):
        return labelled_log(
            samples=[sample(0, ["age", "duration", "allergies"], "age"), sample(1, ["age"], "duration")],
            session_id=f"s{number}",
        )

    logs = [noisy(number) for number in range(12)] + [labelled_log(session_id="right")]
    findings = [one for log in logs for one in findings_of(log)]
    goals = {(f"s{number}", 1): frozenset({"duration", "allergies"}) for number in range(6)}
    done = correct(logs, findings, People({}, {}, goals), pack=PACK)
    assert all(labels(done, log)[1] == ("continue", {"duration", "allergies"}) for log in logs[:12])
    assert "right" not in done.sessions
    (found,) = [record for record in done.bins.values() if record.answered]
    assert (found.answered, found.wrong, found.implied_right, found.fate) == (6, 6, 6, "correct")


def test_labels_are_purged_with_the_reason_where_no_label_is_right_for_certain():
    def noisy(number):
        return labelled_log(
            samples=[sample(0, ["age", "duration", "allergies"], "age"), sample(1, ["age"], "duration")],
            session_id=f"s{number}",
        )

    logs = [noisy(number) for number in range(8)]
    findings = [one for log in logs for one in findings_of(log)]
    goals = {(f"s{number}", 1): frozenset({"allergies"}) for number in range(4)}  # neither label nor findings
    done = correct(logs, findings, People({}, {}, goals), pack=PACK)
    assert labels(done, logs[0])[1] == ("continue", {"allergies"})
    assert all(1 not in labels(done, log) for log in logs[4:])
    records = list(done.quarantined("lexicon"))
    assert [(one["session_id"], one["turn"], one["reason"]) for one in records] == [
        (f"s{number}", 1, "doubted-label") for number in range(4, 8)
    ]
    assert all(one["message_index"] == 3 and "people rejected most" in one["message"] for one in records)


def test_an_answer_about_a_question_settles_the_labels_that_follow_from_it():
    log = labelled_log(
        samples=[sample(0, ["age", "allergies"], "age"), sample(2, ["allergies"], "allergies"), sample(3)]
    )
    people = People({("s1", 1): {"age": False, "duration": True, "allergies": False}}, {}, {})
    done = correct([log], findings_of(log), people, pack=PACK)
    assert labels(done, log)[0] == ("continue", {"age", "duration", "allergies"})
    assert labels(done, log)[1] == ("continue", {"duration", "allergies"})  # a turn that had no label


def test_a_bin_needs_three_answers_before_it_changes_labels():
    assert decide_fate(2, 2, 2) == "keep"
    assert decide_fate(3, 3, 3) == "correct"
    assert decide_fate(4, 4, 0) == "purge"
    assert decide_fate(6, 1, 1) == "keep"
