"""Which revision of a prompt is taken, by what its reader finds on answered items."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from learntoask.calibration.answers import Answered
from learntoask.calibration.revise.prompts import (
    BULLETS,
    Mistake,
    RevisablePrompt,
    Rewritten,
    choose_bullets,
    revise_prompt,
)
from learntoask.core.pack import Pack
from worlds.calibration import PACK, answered

FIELDS = ("age", "duration", "allergies")
GIVEN = PACK.prompts.micro_goal
REWRITTEN = f"{GIVEN}\nLeave nothing out."


def items(split: str, count: int = 6) -> list[Answered]:
    """Turns of which every other one asks for all fields, and the rest for none."""
    return [
        answered(
            "asks_for", 0, dict.fromkeys(FIELDS, number % 2 == 0), session_id=f"{split}{number}", split=split
        )
        for number in range(count)
    ]


class Reader:
    """A reader that finds one field in turns that ask for three, and more with some words in its prompt (`found`)."""

    def __init__(self, found: dict[str, int]) -> None:
        self.found = found
        self.read: list[str] = []

    def revisable(self) -> RevisablePrompt:
        def finds(pack: Pack, given: Sequence[Answered]):
            prompt = pack.prompts.micro_goal
            self.read.append(prompt)
            count = max([1, *(many for words, many in self.found.items() if words in prompt)])
            found = frozenset(FIELDS[:count])
            return {(one.item.origin.session_id, 0): found & (one.chosen or set()) for one in given}.get

        return RevisablePrompt("micro_goal", title="prompt", reader="labeller", finds=finds)


def revise(reader: Reader, propose=None, *, search=None, show=None):
    return revise_prompt(
        reader.revisable(),
        pack=PACK,
        show=items("show") if show is None else show,
        search=items("search") if search is None else search,
        propose=propose,
    )


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ({"a": 0.1, "b": 0.1}, ["a", "b"]),
        ({"a": 0.1, "b": -0.1, "c": 0.02}, ["a", "c"]),
        ({"a": 0.009, "b": 0.0}, []),
    ],
)
def test_each_bullet_is_kept_that_adds_a_hundredth_to_those_before(gains, chosen):
    def kappa_of(prompt: str) -> float:
        return 0.5 + sum(gain for bullet, gain in gains.items() if f"\n- {bullet}" in prompt)

    prompt, kappa, found = choose_bullets("p", list(gains), kappa_of)
    assert found == chosen
    assert prompt == "p" + "".join(f"\n- {bullet}" for bullet in chosen)
    assert kappa == pytest.approx(0.5 + sum(gains[bullet] for bullet in chosen))


def test_a_rewrite_starts_from_the_bullets_and_their_mistakes_and_names_them_as_its_cause():
    seen: list[tuple[str, Sequence[Mistake]]] = []

    def propose(prompt: str, mistakes: Sequence[Mistake]) -> Rewritten:
        seen.append((prompt, mistakes))
        return Rewritten(REWRITTEN, "writer")

    found = revise(Reader({BULLETS[1]: 2, "Leave nothing out": 3}), propose)
    ((prompt, mistakes),) = seen
    assert prompt == f"{GIVEN}\n- {BULLETS[1]}"
    assert {(one.found, one.right) for one in mistakes} == {(frozenset(FIELDS[:2]), frozenset(FIELDS))}
    assert found is not None
    assert found.pack.prompts.micro_goal == REWRITTEN
    assert found.what == "prompt: rewritten by writer"
    assert found.because == tuple(sorted(one.digest for one in items("show") if one.chosen))


def test_a_rewrite_that_is_no_better_than_the_bullets_is_left():
    found = revise(Reader({BULLETS[1]: 2, "Leave nothing out": 2}), lambda *_: Rewritten(REWRITTEN, "writer"))
    assert found is not None
    assert found.pack.prompts.micro_goal == f"{GIVEN}\n- {BULLETS[1]}"
    assert found.because == tuple(sorted(one.digest for one in items("search")))


def test_a_rewrite_that_is_no_template_is_never_tried():
    reader = Reader({"Leave nothing out": 3})
    assert revise(reader, lambda *_: Rewritten(f"{{% endfor %}}{REWRITTEN}", "writer")) is None
    assert not any(prompt.startswith("{% endfor %}") for prompt in reader.read)


def test_nothing_is_asked_without_answers_to_choose_by():
    reader = Reader({BULLETS[1]: 3})
    assert revise(reader, search=[]) is None
    assert reader.read == []


def test_a_reader_without_mistakes_is_not_rewritten():
    assert revise(Reader({"": 3}), lambda *_: pytest.fail("nothing is to be mended")) is None
