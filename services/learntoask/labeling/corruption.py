"""Put faults into training sessions, such as careless experts and wrong labels cause, to measure their effect.

The faults of a session follow from the seed and its id alone. A greater share therefore has the same faults and
additional ones, so that curves over shares are comparable.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from learntoask.core.manifest import Corruption
from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, Item, LabelledSession, Message, Sample, Session, Turn

_MOST_REPEATED = 2  # questions of an expert who stops late


def corrupt(
    sessions: Iterable[LabelledSession], *, settings: Corruption, pack: Pack
) -> Iterator[LabelledSession]:
    """Yield the sessions, those of the training split with the faults that `settings` asks for."""
    for labelled in sessions:
        session = labelled.session
        if session.split != "train":
            yield labelled
            continue
        draw = _draw(settings.seed, "sloppy", session.session_id)
        found = sloppy(labelled, draw) if draw.random() < settings.sloppy else labelled
        fields = [field.name for field in pack.task(session.task).fields]
        yield noisy(found, share=settings.label_noise, seed=settings.seed, fields=fields)


def sloppy(labelled: LabelledSession, draw: random.Random) -> LabelledSession:
    """Return the session as a careless expert would have conducted it, with the labels of the new conversation.

    The expert stops early, asks again for something that has been answered, or does so instead of stopping. The session
    is unchanged if none of these is possible, for example with only one turn.
    """
    asked = [sample.turn for sample in labelled.samples if _exchange(labelled.session, sample) is not None]
    asked = [turn for turn in asked if _given_at(labelled, turn)]
    later = [s.turn for s in labelled.samples if s.decision == "continue" and asked and s.turn > asked[0]]
    stop = labelled.session.stop_turn
    flaws = {
        "late stop": stop is not None and bool(asked),
        "redundant question": bool(later),
        "early stop": any(s.decision == "continue" and s.turn for s in labelled.samples),
    }
    possible = [flaw for flaw, can_be in flaws.items() if can_be]
    if not possible:
        return labelled
    match draw.choice(possible):
        case "early stop":
            turns = [s.turn for s in labelled.samples if s.decision == "continue" and s.turn]
            return stop_early(labelled, draw.choice(turns))
        case "redundant question":
            before = draw.choice(later)
            return ask_again(labelled, draw.choice([turn for turn in asked if turn < before]), before=before)
        case _:
            assert stop is not None
            again = draw.sample(asked, draw.randint(1, min(_MOST_REPEATED, len(asked))))
            for place, turn in enumerate(again):
                labelled = ask_again(labelled, turn, before=stop + place)
            return labelled


def ask_again(labelled: LabelledSession, asked: int, *, before: int) -> LabelledSession:
    """Insert before turn `before` the question that the expert asked at turn `asked`, with the same answer.

    Turns without a sample remain without one. Raises ValueError if turn `asked` has no answered question.
    """
    session = labelled.session
    by_turn = {sample.turn: sample for sample in labelled.samples}
    exchange = _exchange(session, by_turn[asked])
    if exchange is None or asked >= before:
        raise ValueError(f"turn {asked} holds no answered question to be asked again before turn {before}")
    question, reply = exchange
    at, items = session.turns[before].start, _given_at(labelled, asked)
    shift = len(question) + len(reply)
    following = next((sample for sample in labelled.samples if sample.turn >= before), None)
    repeated = by_turn[asked].model_copy(
        update={"turn": before, "remaining": _union(items, following.remaining if following else ())}
    )
    earlier = [
        sample.model_copy(update={"remaining": _union(sample.remaining, items)})
        for sample in labelled.samples
        if sample.turn < before
    ]
    rest = [s.model_copy(update={"turn": s.turn + 1}) for s in labelled.samples if s.turn >= before]
    stop = session.stop_turn
    changed = {
        "messages": (*session.messages[:at], *question, *reply, *session.messages[at:]),
        "turns": (
            *session.turns[:before],
            Turn(start=at, end=at + len(question)),
            *(Turn(start=turn.start + shift, end=turn.end + shift) for turn in session.turns[before:]),
        ),
        "stop_turn": stop + 1 if stop is not None and stop >= before else stop,
    }
    answers = tuple(
        answer.model_copy(update={"message": answer.message + shift}) if answer.message >= at else answer
        for answer in labelled.answers
    )
    return _changed(labelled, changed, samples=[*earlier, repeated, *rest], answers=answers)


def stop_early(labelled: LabelledSession, turn: int) -> LabelledSession:
    """Return the session ended by a silent stop at `turn`, where the expert continued to ask.

    Items that the expert obtained later are removed from all micro-goals.
    """
    session = labelled.session
    here = next(sample for sample in labelled.samples if sample.turn == turn)
    lost = {item.field for item in here.remaining}
    kept = []
    for sample in labelled.samples:
        remaining = tuple(item for item in sample.remaining if item.field not in lost)
        if sample.turn < turn and remaining:
            kept.append(sample.model_copy(update={"remaining": remaining}))
    stop = here.model_copy(update={"decision": "stop", "remaining": (), "requested": ()})
    start = session.turns[turn].start
    changed = {
        "messages": session.messages[:start],
        "turns": (*session.turns[:turn], Turn(start=start, end=start)),
        "stop_turn": turn,
        "end": EndReason.COMPLETED,
    }
    answers = tuple(answer for answer in labelled.answers if answer.message < start)
    return _changed(labelled, changed, samples=[*kept, stop], answers=answers)


def noisy(labelled: LabelledSession, *, share: float, seed: int, fields: Sequence[str]) -> LabelledSession:
    """Return the session with `share` of its labels wrong; `fields` are those of its task.

    A wrong `continue` becomes a stop or, equally often, a micro-goal of other fields; a wrong stop becomes a question
    for a field. As after labelling, the first stop ends the session, and a session without one counts as abandoned.
    """
    session = labelled.session
    samples: list[Sample] = []
    for sample in labelled.samples:
        draw = _draw(seed, "label", session.session_id, sample.turn)
        samples.append(_wrong(sample, draw, fields) if draw.random() < share else sample)
        if samples[-1].decision == "stop":
            break
    if samples == list(labelled.samples):
        return labelled
    stop = next((sample.turn for sample in samples if sample.decision == "stop"), None)
    changed: dict[str, Any] = {"stop_turn": stop}
    if stop is not None:
        changed |= {"turns": session.turns[: stop + 1], "end": EndReason.COMPLETED}
    elif any(sample.decision == "stop" for sample in labelled.samples):
        changed["end"] = EndReason.ABANDONED
    else:
        changed["stop_turn"] = session.stop_turn  # the stop has no label that could be wrong
    return _changed(labelled, changed, samples=samples, answers=labelled.answers)


def _wrong(sample: Sample, draw: random.Random, fields: Sequence[str]) -> Sample:
    needed = {item.field for item in sample.remaining}
    others = [field for field in fields if field not in needed]
    if sample.decision == "continue" and (not others or draw.random() < 0.5):
        return sample.model_copy(update={"decision": "stop", "remaining": ()})
    if not others:
        return sample
    chosen = draw.sample(others, min(len(others), max(1, len(needed))))
    items = tuple(Item(field=field, value="") for field in chosen)
    return sample.model_copy(update={"decision": "continue", "remaining": items})


def _exchange(session: Session, sample: Sample) -> tuple[tuple[Message, ...], tuple[Message, ...]] | None:
    """The expert's question at a sample's turn and the user's answer, or None unless there are both."""
    turn = session.turns[sample.turn]
    question = session.messages[turn.start : turn.end]
    end = turn.end
    while end < len(session.messages) and session.messages[end].role == "user":
        end += 1
    reply = session.messages[turn.end : end]
    return (question, reply) if sample.decision == "continue" and question and reply else None


def _given_at(labelled: LabelledSession, turn: int) -> tuple[Item, ...]:
    """The items that the question at `turn` obtained: needed before it, and no longer after it."""
    samples = [sample for sample in labelled.samples if sample.turn >= turn]
    after = {item.field for item in samples[1].remaining} if len(samples) > 1 else set()
    return tuple(item for item in samples[0].remaining if item.field not in after)


def _union(items: Sequence[Item], more: Sequence[Item]) -> tuple[Item, ...]:
    fields = {item.field for item in items}
    return (*items, *(item for item in more if item.field not in fields))


def _changed(
    labelled: LabelledSession, session: dict[str, Any], *, samples: Sequence[Sample], answers: Sequence[Any]
) -> LabelledSession:
    """Validate the changed session like records from a file, so that an error of this module cannot reach training."""
    record = Session.model_validate({**dict(labelled.session), **session})
    return LabelledSession.model_validate(
        {"session": record, "samples": tuple(samples), "answers": tuple(answers)}
    )


def _draw(*names: object) -> random.Random:
    return random.Random(":".join(map(str, names)))
