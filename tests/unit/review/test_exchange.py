"""Answers in files: the own format, Label Studio's and Argilla's; what is wrong in a file is named and the rest
taken."""

from __future__ import annotations

import json

import pytest
from learntoask.core.errors import InputError
from learntoask.review.exchange.export import answers_file, argilla_records, label_studio_tasks
from learntoask.review.exchange.import_answers import import_answers
from learntoask.review.queue import ReviewQueue
from learntoask.review.storage.folder import FolderStorage
from worlds.review_items import FIELDS, Truth, item, open_queue

ONE, TWO = item(1), item(2)
SEVERAL = item(3, several=True, choices=FIELDS)


def new_queue(folder, **settings: object) -> ReviewQueue:
    queue = open_queue(FolderStorage(folder), **settings)
    queue.add([ONE, TWO, SEVERAL])
    return queue


def exported(queue: ReviewQueue) -> bytes:
    return answers_file(queue.responses()).encode()


def line(**fields: object) -> dict[str, object]:
    return {"format": 1, "item": ONE.digest, "reviewer": "ann", "answer": ["yes"]} | fields


def test_an_exported_review_is_the_same_after_an_import_into_another_queue(tmp_path):
    truth = Truth(60, known=8)
    queues = [open_queue(FolderStorage(tmp_path / name), overlap=2) for name in ("a", "b")]
    for queue in queues:
        queue.add(truth.items)
    source, target = queues
    for name in ("ann", "bob", "Zoë Q"):
        for number in range(30):
            digest = source.next_item(name)
            right = truth.answer(source, digest)
            other = ("no",) if right == ("yes",) else ("yes",)
            source.answer(digest, name, other if number % 7 == 0 else right, seconds=2.5)
            if number % 14 == 0:
                source.answer(digest, name, right, seconds=1.0)
            if number % 5 == 0:
                source.comment(digest, name, f"“{number}”\nsecond line")
    source.skip(source.next_item("ann"), "ann")
    conflict = source.next_item("an adjudicator", adjudicates=True)
    source.answer(conflict, "an adjudicator", ("yes",), seconds=1.0, adjudicates=True)

    found = import_answers(target, exported(source))
    assert (found.refusals, found.known) == ((), 0)
    assert target.freeze() == source.freeze()
    assert any(answer.adjudicated for answer in target.freeze().answers)
    assert [(r.comments, r.skipped is None) for _, _, _, r in target.responses()] == [
        (r.comments, r.skipped is None) for _, _, _, r in source.responses()
    ]
    before = target.freeze()
    again = import_answers(target, exported(source))
    assert (again.taken, again.known, again.refusals) == (0, found.taken, ())
    assert target.freeze() == before
    assert exported(target).count(b"\n") == exported(source).count(b"\n")


def test_wrong_lines_are_refused_one_by_one_and_the_others_are_taken(tmp_path):
    queue = new_queue(tmp_path, reviewers=("ann", "bob"))
    lines = [
        json.dumps(line()),
        "{not json",
        json.dumps(line(item="f" * 64)),
        json.dumps(line(item="short")),
        json.dumps(line(item=TWO.digest, answer=["maybe"])),
        json.dumps(line(item=TWO.digest, reviewer="eve")),
        json.dumps(line(item=TWO.digest, surprise=1)),
        json.dumps(line(item=TWO.digest, format=2)),
        json.dumps(line(item=TWO.digest, seconds=-1)),
        json.dumps(line(item=TWO.digest)).replace("{", '{"answer": ["no"], ', 1),
        json.dumps(line(item=TWO.digest, seconds=float("nan"))),
        "[]",
        "",
        json.dumps(line(item=TWO.digest, reviewer="bob", answer=["?"])),
    ]
    found = import_answers(queue, "\n".join(lines).encode())
    assert found.taken == 2
    refused = {refusal.where: refusal.message for refusal in found.refusals}
    assert sorted(refused) == [f"line {n}" for n in (10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert "cannot be read as JSON" in refused["line 2"]
    assert f"no item '{'f' * 12}'" in refused["line 3"]
    assert refused["line 4"] == "item: must be the digest of an item: 64 hex digits"
    assert "none of the choices: yes, no" in refused["line 5"]
    assert "'eve' is not a reviewer" in refused["line 6"]
    assert "surprise: unknown field" in refused["line 7"]
    assert "key 'answer' is given 2 times" in refused["line 10"]
    assert "NaN is no value of JSON" in refused["line 11"]
    assert [(a.reviewer, a.answer) for a in queue.freeze().answers if a.item == TWO.digest] == [
        ("bob", ("?",))
    ]


def test_an_import_replaces_no_answer(tmp_path):
    queue = new_queue(tmp_path)
    queue.answer(ONE.digest, "ann", ("no",), seconds=1.0)
    content = json.dumps(line()).encode()
    assert "has answered" in import_answers(queue, content).refusals[0].message
    queue.undo(ONE.digest, "ann")
    assert import_answers(queue, content).taken == 1
    queue.undo(ONE.digest, "ann")
    assert "undone here" in import_answers(queue, content).refusals[0].message
    queue.retire([ONE.digest], reason="withdrawn")
    assert "no longer asked" in import_answers(queue, content).refusals[0].message


def annotation(*choices: str, **fields: object) -> dict[str, object]:
    """Return an annotation as Label Studio 1.x exports it."""
    result = [
        {
            "id": "Dx_aB91ISN",
            "from_name": "answer",
            "to_name": "conversation",
            "type": "choices",
            "origin": "manual",
            "value": {"choices": list(choices)},
        }
    ]
    return {
        "id": 1001,
        "completed_by": 10,
        "result": result if choices else [],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-03-09T22:16:08.728353Z",
        "updated_at": "2026-03-09T22:16:08.728378Z",
        "lead_time": 4.288,
        "result_count": 0,
        "task": 1,
    } | fields


def task(digest: str, *annotations: dict[str, object], **fields: object) -> dict[str, object]:
    return {
        "id": 1,
        "data": {"item": digest},
        "annotations": list(annotations),
        "predictions": [],
        "meta": {},
        "project": 83,
    } | fields


def test_label_studios_export_is_taken(tmp_path):
    queue = new_queue(tmp_path)
    note = {
        "from_name": "comment",
        "to_name": "conversation",
        "type": "textarea",
        "value": {"text": ["unclear"]},
    }
    person = {"id": 7, "email": "bob@example.org", "first_name": "Bob", "last_name": ""}
    with_note = annotation("no", completed_by=person)
    with_note["result"] = [*with_note["result"], note]
    tasks = [
        task(ONE.digest, annotation("yes"), with_note),
        task(TWO.digest, annotation(was_cancelled=True)),
        task(SEVERAL.digest, annotation("duration", "age"), annotation(completed_by=11)),
        task("f" * 64, annotation("yes")),
        task(ONE.digest, annotation("yes", completed_by=None)),
        {"id": 5, "item": ONE.digest, "answer": "yes", "annotator": 1, "annotation_id": 9},
    ]
    found = import_answers(queue, json.dumps(tasks).encode(), reviewers={"10": "ann"})
    answers = {(answer.item, answer.reviewer): answer.answer for answer in queue.freeze().answers}
    assert answers == {
        (ONE.digest, "ann"): ("yes",),
        (ONE.digest, "bob@example.org"): ("no",),
        (SEVERAL.digest, "ann"): ("age", "duration"),
        (SEVERAL.digest, "11"): (),
    }
    assert queue.given(ONE.digest, "bob@example.org").comments == ("unclear",)
    assert queue.given(ONE.digest, "ann").seconds == 4.288
    assert queue.given(TWO.digest, "ann").skipped is not None
    assert [refusal.where for refusal in found.refusals] == ["record 5", "record 6", "record 4"]
    assert "completed_by" in found.refusals[0].message


def test_argillas_export_is_taken(tmp_path):
    queue = new_queue(tmp_path)
    ann, bob = "6b7a5b4e-6b0e-4f7e-8d6e-0123456789ab", "bob"

    def record(digest: str, **responses: object) -> dict[str, object]:
        return {
            "id": digest,
            "fields": {"conversation": "…"},
            "metadata": {},
            "suggestions": {},
            "responses": responses,
            "vectors": {},
            "status": "completed",
            "_server_id": "0d9e6f9c-5e0a-4a8e-9d9a-0123456789ab",
        }

    records = [
        record(
            ONE.digest,
            answer=[{"value": "yes", "user_id": ann}, {"value": "no", "user_id": bob}],
            comment=[{"value": "unclear", "user_id": bob}],
        ),
        record(SEVERAL.digest, fields_asked=[{"value": ["duration", "age"], "user_id": ann}]),
        record(TWO.digest, answer=[{"value": "yes", "user_id": ann, "status": "draft"}]),
        record(TWO.digest, answer=[{"value": None, "user_id": bob, "status": "discarded"}]),
        record("not a digest", answer=[{"value": "yes", "user_id": ann}]),
        record(TWO.digest, one=[{"value": "yes", "user_id": ann}], two=[]),
        record(TWO.digest, answer=[{"value": 3, "user_id": ann}]),
    ]
    found = import_answers(queue, json.dumps(records).encode(), reviewers={ann: "ann"})
    answers = {(answer.item, answer.reviewer): answer.answer for answer in queue.freeze().answers}
    assert answers == {
        (ONE.digest, "ann"): ("yes",),
        (ONE.digest, "bob"): ("no",),
        (SEVERAL.digest, "ann"): ("age", "duration"),
    }
    assert queue.given(ONE.digest, "bob").comments == ("unclear",)
    assert queue.given(TWO.digest, "bob").skipped is not None
    assert [refusal.where for refusal in found.refusals] == ["record 5", "record 6", "record 7"]


def test_items_that_go_to_other_programs_come_back_with_their_digest_and_without_votes(tmp_path):
    truth = Truth(3)
    items = {one.digest: one for one in truth.items}
    queue = open_queue(FolderStorage(tmp_path))
    queue.add(truth.items)
    tasks = json.loads(label_studio_tasks(items))
    for each in tasks:
        each["annotations"] = [annotation(each["data"]["choices"][0]["value"])]
    records = json.loads(argilla_records(items))
    for each in records:
        each["responses"] = {"answer": [{"value": "no", "user_id": "bob"}]}
    for content in (tasks, records):
        assert "judge 0" not in json.dumps(content)
        assert import_answers(queue, json.dumps(content).encode()).taken == 3
    assert len(queue.freeze().answers) == 6


def test_other_programs_get_no_message_that_the_page_hides_before_the_answer():
    said = item(1).messages[0]
    user = said.model_copy(update={"role": "user", "author": "user", "content": "a headache"})
    hidden = item(
        2,
        kind="is_stop",
        messages=(user, said.model_copy(update={"content": "take this"})),
        start=1,
        end=2,
        choices=tuple(
            choice.model_copy(update={"description": "what it means"}) for choice in item(1).choices
        ),
    )
    for content in (label_studio_tasks({hidden.digest: hidden}), argilla_records({hidden.digest: hidden})):
        assert "a headache" in content
        assert "yes: what it means" in content
        assert "take this" not in content


@pytest.mark.parametrize(
    "record", [{"annotations": [{"completed_by": 1, "result": [{"type": "choices"}]}]}, {"annotations": [3]}]
)
def test_a_refusal_speaks_of_the_file_and_not_of_the_program(tmp_path, record):
    content = json.dumps([{"data": {"item": ONE.digest}, **record}]).encode()
    (refusal,) = import_answers(new_queue(tmp_path), content).refusals
    assert "export the file again" in refusal.message
    assert "Error" not in refusal.message


@pytest.mark.parametrize("content", [b"[{", b"\xff\xfe", b"[1, 2"])
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(tmp_path, content):
    with pytest.raises(InputError, match="file"):
        import_answers(new_queue(tmp_path), content)
