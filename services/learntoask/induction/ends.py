"""Find out how sessions end: markers that software writes, what experts say when they act, and hand-overs."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from learntoask.core.languages.pack_phrases import PHRASES
from learntoask.core.text.characters import one_line
from learntoask.core.text.patterns import Search
from learntoask.core.text.words import words
from learntoask.induction.fields.clusters import by_frequency
from learntoask.induction.fields.questions import plain_text
from learntoask.induction.patterns.mining import (
    FEWEST_FOUND,
    MessageIndex,
    MinedPattern,
    Target,
    frame_words,
    mine,
)
from learntoask.induction.patterns.tokens import Gram, grams
from learntoask.induction.suggestion import DoubtfulEnd, EndAnswer, SuggestedEnds
from learntoask.labeling.logs.parsing import LogSession
from learntoask.labeling.logs.patterns import any_of

# What software writes: a tag, a name in brackets, a word of capitals with an underscore.
_MARKER = re.compile(
    r"<[^<>\n]{1,60}>|\[\[?[^\[\]\n]{1,60}\]\]?|\{\{?[^{}\n]{1,60}\}\}?|##+[^#\n]{1,40}##+|\*\*\*+[^*\n]{1,40}\*\*\*+"
    r"|(?<!\w)/[a-z_]{3,30}(?!\w)|\b[A-Z]{2,}_[A-Z_]{2,}\b"
)
_MARKED = 0.05  # share of the sessions from which a string is a marker
_FINAL = 0.8  # share of the messages with a marker after which no question is answered; users thank for advice as well
_RELIABLE = 0.5  # share of the sessions with a marker from which one without it is not completed
_PRECISION = 0.95  # of a pattern of an end; a wrong stop ends a conversation too early
_MOST_PATTERNS = 60  # experts act in more ways than they ask for one field
_ACTED = 0.3  # share of the quiet ends that the patterns must find
_FEW = 0.005  # share of the sessions that a pattern of an end must find
_EXAMPLES = 3
_UNFOUND = 5  # groups of last messages without a pattern that people may be asked about
_SAID_COUNTS = 100  # messages that the word of a person outweighs


@dataclass(frozen=True)
class _End:
    """The messages after the last question of one session, and how it ended."""

    session: int
    marker: bool
    quiet: tuple[str, ...]  # expert messages after the last question, markers removed
    place: int  # of the first of them
    open: bool  # the user has the last word, or the expert's last message asks


def find_ends(
    sessions: Sequence[LogSession],
    asking: Set[tuple[int, int]],
    *,
    language: str,
    said: Mapping[str, EndAnswer] | None = None,
) -> SuggestedEnds:
    """Return how the sessions end. `asking` are the (session, message) that ask anything.

    `said` is what people say that the expert does with a message, by its plain text.
    """
    said = said or {}
    last_asking = _last_asking(asking)
    last_answered = _last_answered(sessions, asking)
    markers = _markers(sessions, last_answered)
    literal = tuple(marker for marker, _ in markers)
    ends = [
        _end(index, session, last_asking.get(index, -1), literal) for index, session in enumerate(sessions)
    ]
    marked = sum(end.marker for end in ends)
    abandoned = sum(end.open and not end.marker for end in ends)
    require = marked >= _RELIABLE * max(1, len(sessions))
    phrases = PHRASES.get(language)
    is_handoff = any_of(phrases.handoffs if phrases else ())
    index, before = _before_end(sessions, last_asking, literal)
    fewest = max(3, int(_FEW * len(sessions)))
    if not markers:
        # What the expert says last, and nobody answers, may be an act that ends with an offer ("Shall I book it?").
        ends = [
            _end(index, session, last_answered.get(index, -1), ()) for index, session in enumerate(sessions)
        ]
        index, before = _before_end(sessions, last_answered, ())
    quiet = [end for end in ends if end.quiet and not end.marker]
    actions: list[MinedPattern] = []
    handoffs: list[MinedPattern] = []
    if markers:
        found = _mine_first(quiet, index, before, fewest, said)
        # Where markers are reliable, a session without one that ends with a statement of the expert was handed over.
        handoffs = [
            pattern
            for pattern in found
            if (_answer(pattern, said) or ("hands_over" if require else "")) == "hands_over"
            or _texts_match(quiet, pattern, is_handoff)
        ]
    elif quiet:
        found = _mine_first(quiet, index, before, fewest, said)
        handoffs = [
            pattern
            for pattern in found
            if _answer(pattern, said) == "hands_over" or _texts_match(quiet, pattern, is_handoff)
        ]
        actions = [pattern for pattern in found if pattern not in handoffs]
        search = any_of(tuple(pattern.expression for pattern in found))
        reached = sum(any(search(text) for text in end.quiet) for end in quiet)
        if reached < _ACTED * len(quiet):
            actions = []
    acting = Counter(end.quiet[0] for end in ends if end.quiet and (end.marker or not markers))
    return SuggestedEnds(
        markers=tuple(markers),
        require_marker=require,
        actions=tuple(actions),
        handoffs=tuple(handoffs),
        examples=tuple(text for text, _ in by_frequency(acting)[:_EXAMPLES]),
        abandoned=abandoned,
        doubtful=tuple(_doubtful(quiet, found, set(handoffs), said)) if quiet else (),
    )


def without_markers(text: str, markers: Iterable[str]) -> str:
    """Return the text with a space in place of each marker."""
    for marker in markers:
        text = text.replace(marker, " ")
    return text


def _plain(text: str, markers: Iterable[str]) -> str:
    return one_line(without_markers(text, markers)).strip()


def _is_answered(session: LogSession, place: int) -> bool:
    return any(message.role == "user" for message in session.messages[place + 1 :])


def _last_answered(sessions: Sequence[LogSession], asking: Set[tuple[int, int]]) -> dict[int, int]:
    """Return the last message of each session that asks for something and is answered.

    A question after which the expert says nothing more, such as "Is there anything else?", does not count where the
    expert has said something without a question since the one before. The expert can have acted there.
    """
    answered = {place for place in asking if _is_answered(sessions[place[0]], place[1])}
    last: dict[int, int] = {}
    for index, place in sorted(answered):
        messages = sessions[index].messages
        is_last_word = not any(message.role != "user" for message in messages[place + 1 :])
        stated = any(
            messages[between].author == "expert" and (index, between) not in asking
            for between in range(last.get(index, place) + 1, place)
        )
        if not (is_last_word and stated):
            last[index] = place
    return last


def _last_asking(asking: Iterable[tuple[int, int]]) -> dict[int, int]:
    last: dict[int, int] = {}
    for session, message in asking:
        last[session] = max(message, last.get(session, -1))
    return last


def _markers(sessions: Sequence[LogSession], last_answered: Mapping[int, int]) -> list[tuple[str, int]]:
    """Return the strings that mark the expert's act, with the number of sessions that hold them.

    What seems to ask after a marker, such as "Please read the leaflet", and is not answered, does not count.
    """
    found: dict[str, set[int]] = defaultdict(set)
    final: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    for index, session in enumerate(sessions):
        for place, message in enumerate(session.messages):
            if message.author != "expert":
                continue
            for marker in set(_MARKER.findall(message.content)):
                found[marker].add(index)
                uses[marker] += 1
                final[marker] += place >= last_answered.get(index, -1)
    kept = [
        (marker, len(holding))
        for marker, holding in found.items()
        if len(holding) >= max(3, _MARKED * len(sessions)) and final[marker] >= _FINAL * uses[marker]
    ]
    return by_frequency(dict(kept))


def _end(index: int, session: LogSession, last_asking: int, markers: Sequence[str]) -> _End:
    quiet = {
        place: text
        for place, message in enumerate(session.messages)
        if place > last_asking and message.author == "expert" and (text := _plain(message.content, markers))
    }
    marked = any(
        marker in message.content
        for message in session.messages
        if message.author == "expert"
        for marker in markers
    )
    last = len(session.messages) - 1
    ended_open = session.messages[last].role == "user" or last == last_asking
    return _End(index, marked, tuple(quiet.values()), min(quiet, default=-1), ended_open)


def _before_end(
    sessions: Sequence[LogSession], last_asking: Mapping[int, int], markers: Sequence[str]
) -> tuple[MessageIndex, Counter[str]]:
    """Return all expert messages, and how often each occurs before the session's last question or as that."""
    texts: list[str] = []
    before: Counter[str] = Counter()
    for index, session in enumerate(sessions):
        for place, message in enumerate(session.messages):
            if message.author == "expert":
                text = plain_text(_plain(message.content, markers))
                texts.append(text)
                before[text] += place <= last_asking.get(index, -1)
    return MessageIndex(texts), before


def _mine_first(
    ends: Sequence[_End],
    index: MessageIndex,
    before: Mapping[str, int],
    fewest: int,
    said: Mapping[str, EndAnswer],
) -> list[MinedPattern]:
    """Return patterns of what experts say first after their last question and never before it.

    A message with which the expert goes on, as people say, is none of them; another one that they know counts as
    often as is needed.
    """
    wanted: Counter[int] = Counter(index.number[plain_text(end.quiet[0])] for end in ends)
    others = {index.number[text]: count for text, count in before.items() if count and text in index.number}
    for text, number in index.number.items():
        answer = said.get(text)
        if answer == "goes_on":
            others[number] = max(others.get(number, 0), wanted.pop(number, 0)) + _SAID_COUNTS
        elif answer is not None:
            wanted[number] += fewest
    texts = [index.texts[number] for number in wanted]
    frame = frame_words([[text] for text in index.texts if before.get(text)])
    candidates = index.with_grams(
        {gram for text in texts for gram in grams(text) if not gram.asks and _tells(gram)}
    )
    return [
        pattern
        for pattern in mine(
            Target(wanted, others), candidates, frame=frame, most=_MOST_PATTERNS, precise_from=_PRECISION
        )
        if pattern.found >= fewest
    ]


def _tells(gram: Gram) -> bool:
    """Whether a piece of a text without numbers has several words and no remains of a number, such as those of 3rd."""
    return len(gram.words) > 1 and all(word == "0" or "0" not in word for word in gram.words)


def _answer(pattern: MinedPattern, said: Mapping[str, EndAnswer]) -> EndAnswer | None:
    """Return what people say of a message that the pattern finds, if they say anything."""
    search = any_of((pattern.expression,))
    return next((answer for text, answer in said.items() if search(text)), None)


def _doubtful(
    ends: Sequence[_End],
    found: Sequence[MinedPattern],
    handoffs: Set[MinedPattern],
    said: Mapping[str, EndAnswer],
) -> Iterator[DoubtfulEnd]:
    """Yield a message for each pattern, and for the commonest words that no pattern finds.

    The sessions at stake are those whose end would be another one.
    """
    left = [end for end in ends if plain_text(end.quiet[0]) not in said]
    for pattern in found:
        search = any_of((pattern.expression,))
        matched = [end for end in left if search(end.quiet[0])]
        left = [end for end in left if not search(end.quiet[0])]
        if matched and _answer(pattern, said) is None:
            wrong = (pattern.others + 1) / (pattern.found + 2)
            guess: EndAnswer = "hands_over" if pattern in handoffs else "acts"
            yield DoubtfulEnd(matched[0].session, matched[0].place, guess, wrong * len(matched))
    for _ in range(_UNFOUND):
        shared = Counter(gram for end in left for gram in grams(plain_text(end.quiet[0])) if _tells(gram))
        if not shared:
            return
        common = min(shared, key=lambda gram: (-shared[gram], -len(gram.words), gram))
        like = [end for end in left if common in grams(plain_text(end.quiet[0]))]
        left = [end for end in left if common not in grams(plain_text(end.quiet[0]))]
        if len(like) >= FEWEST_FOUND:
            yield DoubtfulEnd(like[0].session, like[0].place, "goes_on", len(like) / 2)


def _texts_match(ends: Sequence[_End], pattern: MinedPattern, search: Search) -> bool:
    """Whether `search` finds something in every text that the pattern finds."""
    texts = list(_matching(ends, pattern))
    return bool(texts) and all(search(text) for text in texts)


def _matching(ends: Sequence[_End], pattern: MinedPattern) -> Iterator[str]:
    search = any_of((pattern.expression,))
    for end in ends:
        if end.quiet and words(end.quiet[0]) and search(end.quiet[0]):
            yield end.quiet[0]
