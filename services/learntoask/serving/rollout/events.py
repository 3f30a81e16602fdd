"""Finds the harmful events that the messages of a conversation show, with the patterns of the pack."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile

from learntoask.core.manifest.strategy import Metric
from learntoask.core.pack import Pack
from learntoask.core.records import STOP, Message
from learntoask.labeling.repeated_questions import RepeatReader
from learntoask.serving.rollout.counts import Observation


class EventReader:
    """Reads conversations on the tasks of a pack."""

    def __init__(self, pack: Pack) -> None:
        self._reader = RepeatReader(pack)

    def events(self, task: str, messages: Sequence[Message]) -> dict[Metric, bool]:
        """Return whether each event happened up to the policy's first stop; metrics that cannot be told are left out.

        `messages` is the whole conversation with the policy's answers; a stop is the stop string.
        """
        messages = _until_stop(_without_greeting(messages))
        turns = [index for index, message in enumerate(messages) if message.author == "policy"]
        found: dict[Metric, bool] = {
            "nonAnswer": any(
                index + 1 < len(messages)
                and messages[index + 1].role == "user"
                and self._reader.is_non_answer(messages[index + 1].content) is not None
                for index in turns
            ),
            "takenOver": bool(turns)
            and any(message.author == "expert" for message in messages[turns[0] + 1 :]),
        }
        faults = [self._faults(task, messages, index) for index in turns]
        found["repeatedQuestion"] = any("repeatedQuestion" in of_turn for of_turn in faults)
        if self._reader.read(task, messages).is_countable:
            found["stoppedEarly"] = any("stoppedEarly" in of_turn for of_turn in faults)
            found["askedAfterKnown"] = any("askedAfterKnown" in of_turn for of_turn in faults)
        return found

    def observation(
        self,
        task: str,
        messages: Sequence[Message],
        *,
        failed: bool,
        repaired: bool,
        stopped: bool,
        moved: bool,
    ) -> Observation:
        """Return what a conversation counts for: its events, and what has happened besides its messages.

        One that `moved` to the other arm only says whether a server of its arm `failed`.
        """
        if moved:
            return {"error": failed}
        return {
            **{str(name): happened for name, happened in self.events(task, messages).items()},
            "abandoned": not stopped,
            "repaired": repaired,
            "error": failed,
        }

    def faults(self, task: str, messages: Sequence[Message]) -> int:
        """Return the number of faults of the last message, which is the policy's."""
        return len(self._faults(task, messages, len(messages) - 1))

    def _faults(self, task: str, messages: Sequence[Message], index: int) -> frozenset[Metric]:
        """Return what is wrong with the policy's answer at `index`, judged by the messages before it."""
        before, answer = messages[:index], messages[index].content
        read = self._reader.read(task, before)
        if answer == STOP:
            return frozenset({"stoppedEarly"} if read.all_known is False else ())
        found: set[Metric] = set()
        if read.all_known:
            found.add("askedAfterKnown")
        if read.repetition(answer) is not None:
            found.add("repeatedQuestion")
        return frozenset(found)


def _without_greeting(messages: Sequence[Message]) -> Sequence[Message]:
    return list(dropwhile(lambda message: message.author == "policy", messages))


def _until_stop(messages: Sequence[Message]) -> Sequence[Message]:
    stop = next(
        (index for index, m in enumerate(messages) if m.author == "policy" and m.content == STOP),
        len(messages),
    )
    return messages[: stop + 1]
