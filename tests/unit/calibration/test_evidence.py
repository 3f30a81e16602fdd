"""Probabilities from judges and people, and the labels that follow from them."""

from __future__ import annotations

import numpy as np
from learntoask.calibration.labels.evidence import Evidence, asked_chances, implied_labels
from learntoask.calibration.labels.posterior import dawid_skene
from worlds.calibration import PACK, findings_of, labelled_log


def test_dawid_skene_finds_who_is_wrong_from_disagreement_alone():
    draw = np.random.default_rng(0)
    truth = draw.random(4000) < 0.3
    rates = [(0.95, 0.97), (0.9, 0.95), (0.6, 0.8)]
    votes = np.array(
        [np.where(truth, draw.random(4000) < hit, draw.random(4000) >= right) for hit, right in rates]
    ).T.astype(np.int8)
    chance, found = dawid_skene(votes, np.full(4000, np.nan))
    assert np.allclose(found.sensitivity, [hit for hit, _ in rates], atol=0.04)
    assert np.allclose(found.specificity, [right for _, right in rates], atol=0.04)
    assert ((chance > 0.5) == truth).mean() > max((votes == truth[:, None]).mean(axis=0))


def test_what_people_say_stays_and_teaches_how_good_the_judges_are():
    votes = np.array([[1, 0]] * 60, dtype=np.int8)
    known = np.full(60, np.nan)
    known[:30] = 0.0  # people side with the second judge
    chance, rates = dawid_skene(votes, known)
    assert (chance[:30] == 0).all()
    assert (chance[30:] < 0.1).all()
    assert rates.specificity[0] < 0.5 < rates.specificity[1]


def test_a_missing_finding_is_no_vote():
    chance, _ = dawid_skene(np.array([[1, -1], [-1, -1], [0, -1]], dtype=np.int8), np.full(3, np.nan))
    assert chance[0] > chance[1] > chance[2]


def test_another_labeller_takes_the_place_of_the_one_before_and_of_its_repeated_judgements():
    finding = findings_of(labelled_log())[0].with_asks("labeller#2", ["duration"])
    graders = {"rewarding": ("age",), "reporting": ("age",)}
    assert finding.with_labeller(["duration", "age"]).asks == {**graders, "labeller": ("age", "duration")}
    assert finding.with_labeller(None).asks == graders


def test_the_implied_micro_goal_holds_what_is_asked_from_there_on_and_given():
    log = labelled_log()
    findings = findings_of(log)
    asked, _ = asked_chances(findings, {}, pack=PACK)
    implied = implied_labels(log, Evidence.of(findings, asked, {}))
    assert [one.label for one in implied] == ["continue", "continue", "continue", "stop"]
    assert [[item.field for item in one.items] for one in implied] == [
        ["age", "duration", "allergies"],
        ["duration", "allergies"],
        ["allergies"],
        [],
    ]


def test_a_question_that_is_not_answered_is_in_no_micro_goal():
    log = labelled_log(answers=[{"field": "allergies", "value": "to nuts", "message": 6}])
    findings = findings_of(log)
    asked, _ = asked_chances(findings, {}, pack=PACK)
    implied = implied_labels(log, Evidence.of(findings, asked, {}))
    assert implied[0].fields == {"allergies"}
