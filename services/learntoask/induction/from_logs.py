"""Read a log file and suggest a pack for it: the thin edge around `suggest`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from learntoask.core.errors import InputError
from learntoask.core.languages.pack_phrases import language_of
from learntoask.core.pack import Pack
from learntoask.grading.encoders.caching import CachingEncoder, choose_encoder, load_encoder
from learntoask.grading.encoders.encoder import Encoder
from learntoask.induction.fields.questions import QuestionFinder
from learntoask.induction.people.said import NOTHING_SAID, Said
from learntoask.induction.reading.language import ENOUGH, languages
from learntoask.induction.reading.roles import FoundRoles, find_roles, roles_of
from learntoask.induction.reading.sample import MOST_SESSIONS, sample_lines
from learntoask.induction.reading.sessions import ReadSessions, json_objects, provisional_pack, read_sessions
from learntoask.induction.suggest import suggest
from learntoask.induction.suggestion import Suggestion
from learntoask.labeling.check import NO_SESSION, why_no_session
from learntoask.labeling.logs.lines import LogLine

_FEW_SESSIONS = 100  # below which patterns are a beginning and no more
_FEWEST_SESSIONS = 4
_LOST = 0.05  # share of the lines from which it is worth saying that they are no sessions
_READ = 500  # questions that the encoder is chosen by


def suggest_from_logs(
    path: Path,
    *,
    pack: Pack | None = None,
    at_most: int = MOST_SESSIONS,
    encoder: Encoder | None = None,
    say: Callable[[str], None] = lambda text: None,
    said: Said = NOTHING_SAID,
) -> Suggestion:
    """Return what the log file suggests, given what people `said`. See `read_logs`."""
    return read_logs(path, pack=pack, at_most=at_most, encoder=encoder, say=say)(said)


def read_logs(
    path: Path,
    *,
    pack: Pack | None = None,
    at_most: int = MOST_SESSIONS,
    encoder: Encoder | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Callable[[Said], Suggestion]:
    """Read a log file; return how to get its suggestion from what people said. `say` is told about each step.

    The roles, the language and the key of the task of an existing `pack` are taken over.

    Raises InputError for logs that no pack can be made from, with what to do.
    """
    sample = sample_lines(path, at_most=at_most)
    if not sample.lines:
        raise InputError(f"{path} is empty; export one session per line as JSON (docs/packs.md)")
    if sample.total > len(sample.lines):
        say(
            f"{sample.total:,} lines; the pack is made from {len(sample.lines):,} of them, drawn by their digest"
        )
    logged = json_objects(sample.lines)
    if not any("messages" in log for log in logged):
        raise InputError(f"{path}: {_no_messages(sample.lines, logged)}", reason="NoSessions")
    roles = find_roles(logged) if pack is None else roles_of(pack)
    read = read_sessions(sample.lines, roles, uri=path.name)
    if len(read.sessions) < _FEWEST_SESSIONS:
        why = read.why_rejected()
        raise InputError(
            f"{path} holds {len(read.sessions)} different sessions, and a pack needs at least {_FEWEST_SESSIONS}, "
            f"better {_FEW_SESSIONS}; " + (f"set aside are {why}" if why else "export more conversations"),
            reason="TooFewSessions",
        )
    texts = [" ".join(message.content for message in session.messages) for session in read.sessions]
    spoken = languages(texts)
    language = next(iter(spoken), "en") if pack is None else language_of(pack)
    say(
        f"{len(read.sessions):,} sessions in {', '.join(f'{code} ({share:.0%})' for code, share in spoken.items())}"
    )
    asked = QuestionFinder(provisional_pack(roles, language)).find(read.sessions)
    if not asked.questions:
        raise InputError(
            f"no message of {', '.join(map(repr, roles.expert))} in {path} asks anything; check that the roles are not "
            "exchanged and that questions are exported as text and not as images or buttons",
            reason="NoQuestions",
        )
    if encoder is None:
        choice = choose_encoder("minilm", [question.text for question in asked.questions[:_READ]])
        if choice.reason:
            say(
                "questions are compared by their letters, which finds less: the sentence encoder learned English"
            )
        encoder = CachingEncoder(load_encoder(choice.name))
    return partial(
        suggest,
        read,
        roles,
        asked,
        encoder=encoder,
        language=language,
        languages=spoken,
        logs=path.name,
        task_from=pack.task_from if pack is not None else None,
        total=sample.total,
        notes=list(_notes(read, spoken, roles.unsure, len(asked.questions))),
    )


def _no_messages(lines: Sequence[LogLine], logged: Sequence[Mapping[str, Any]]) -> str:
    """Return why no line of the logs has messages, and what to do."""
    wanted = 'write one conversation a line, as {"session_id": "1", "messages": [{"role": "user", "content": "…"}, …]}'
    if logged:
        keys = ", ".join(map(repr, list(logged[0])[:6])) or "none"
        return f"no line has the key 'messages'; the first one has {keys}: {wanted}"
    first = next((line.text.strip() for line in lines if line.text.strip()), b"")
    if told := why_no_session(first[:100]):
        return told
    _, why = next(
        iter(read_sessions(lines[:1], FoundRoles(("user",), ("assistant",), ""), uri="logs").examples.items())
    )
    return f"{NO_SESSION}: {why}, and {wanted}"


def _notes(read: ReadSessions, spoken: Mapping[str, float], unsure: str, questions: int) -> Iterator[str]:
    """Yield what a person should look at."""
    sessions = read.sessions
    lost = sum(read.rejected.values())
    if lost >= _LOST * (lost + len(sessions)):
        yield f"{lost} of {lost + len(sessions)} lines are set aside: {read.why_rejected()}"
    if unsure:
        yield unsure
    if len(sessions) < _FEW_SESSIONS:
        yield (
            f"{len(sessions)} sessions are few: patterns find what occurs in them and little else. {_FEW_SESSIONS} "
            "sessions or more make a pack that holds"
        )
    others = [code for code, share in list(spoken.items())[1:] if share >= ENOUGH]
    if others:
        yield (
            f"{', '.join(others)} makes up more than {ENOUGH:.0%} of the sessions; the same field in two languages is "
            "two fields here. Make one pack for each language"
        )
    if questions < len(sessions) / 2:
        yield (
            f"the experts ask only {questions} questions in {len(sessions)} sessions: check that questions are "
            "exported as text and not as images, buttons or forms"
        )
