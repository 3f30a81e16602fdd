"""Find out which role of a log asks (the expert) and which one answers (the user)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack, Roles, folded_role
from learntoask.core.text.sentences import has_question_mark

_FEW = 0.02  # share of the sessions; a role in fewer is a mistake of the export


@dataclass(frozen=True)
class FoundRoles:
    """The role words of each side, as the log writes them, and why; `unsure` is empty or what a person should check."""

    user: tuple[str, ...]
    expert: tuple[str, ...]
    reason: str
    unsure: str = ""


@dataclass
class _Counts:
    sessions: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    asking: Counter[str] = field(default_factory=Counter)
    opens: Counter[str] = field(default_factory=Counter)

    def question_share(self, role: str) -> float:
        return self.asking[role] / max(1, self.messages[role])


def find_roles(logs: Iterable[Mapping[str, Any]]) -> FoundRoles:
    """Assign each role word of the logs to a side.

    Words that the pack's defaults know decide. Otherwise the expert is the role with the larger share of messages that
    ask; who opens the session decides a tie. Raises InputError for logs with a single role.
    """
    logs = list(logs)
    counts = _count(logs)
    total = max(1, sum(counts.opens.values()))
    roles = [role for role, number in counts.sessions.most_common() if number >= _FEW * total]
    remedy = (
        "export the messages of both sides, each with its role, such as "
        '{"role": "user", …} and {"role": "assistant", …}'
    )
    rare = sum(number for role, number in counts.sessions.items() if role not in roles)
    if rare > total / 2:
        names = [role for role, _ in counts.sessions.most_common() if role not in roles]
        raise InputError(
            f"the logs have {len(counts.sessions)} roles, such as {_listed(names[:3])}, as if names of people stood "
            f"in place of roles; {remedy}",
            reason="RolesAreNames",
        )
    if len(roles) < 2:
        written = (
            f"one role only ({roles[0]!r})" if roles else f"no messages with a role{_keys_of_message(logs)}"
        )
        raise InputError(f"the logs hold {written}; {remedy}", reason="OneRole")
    known = Roles()
    users = [role for role in roles if role in (*known.user_aliases, known.user)]
    experts = [role for role in roles if role in (*known.expert_aliases, known.expert)]
    others = [role for role in roles if role not in (*users, *experts)]
    if users and experts:
        reason = f"{_listed(users)} and {_listed(experts)} are usual words for the two sides"
    elif users or experts:
        missing = max(others, key=lambda role: counts.messages[role])
        others.remove(missing)
        (experts if users else users).append(missing)
        reason = f"{_listed(users or experts)} is a usual word, and {missing!r} is the other side"
    else:
        first, second = roles[:2]
        others = roles[2:]
        ahead = counts.question_share(first) - counts.question_share(second)
        if abs(ahead) < 0.02:
            ahead = counts.opens[second] - counts.opens[first]
        expert, user = (first, second) if ahead > 0 else (second, first)
        experts, users = [expert], [user]
        reason = (
            f"{counts.question_share(expert):.0%} of the messages of {expert!r} ask, and "
            f"{counts.question_share(user):.0%} of those of {user!r}"
        )
    unsure = (
        f"{_listed(others)} {'is' if len(others) == 1 else 'are'} none of the usual words for the two sides; these "
        "messages count as the expert's. Leave them out of the export if they are not"
        if others
        else ""
    )
    return FoundRoles(tuple(users), (*experts, *others), reason, unsure)


def side_names(users: Sequence[str], experts: Sequence[str]) -> tuple[str, str]:
    """Return the words by which the two sides are called, given those of the logs."""
    return users[0], "expert" if experts[0] == "assistant" else experts[0]


def roles_of(pack: Pack) -> FoundRoles:
    """Return the roles that an existing pack names."""
    roles = pack.roles
    return FoundRoles(
        ("user", *roles.user_aliases), ("assistant", *roles.expert_aliases), "the pack names them"
    )


def _count(logs: Iterable[Mapping[str, Any]]) -> _Counts:
    counts = _Counts()
    for log in logs:
        messages = log.get("messages")
        written = [
            (folded_role(message["role"]), message["content"])
            for message in (messages if isinstance(messages, list) else ())
            if isinstance(message, dict)
            and isinstance(message.get("role"), str)
            and isinstance(message.get("content"), str)
        ]
        if not written:
            continue
        counts.opens[written[0][0]] += 1
        counts.sessions.update({role for role, _ in written})
        for role, content in written:
            counts.messages[role] += 1
            counts.asking[role] += has_question_mark(content)
    return counts


def _keys_of_message(logs: Sequence[Mapping[str, Any]]) -> str:
    """Return what the first message has in place of a role and a content; empty if there is no message."""
    messages = next((log["messages"] for log in logs if isinstance(log.get("messages"), list)), [])
    first = next((message for message in messages if isinstance(message, dict)), {})
    return f" and a content (the first message has {_listed(list(first)[:6])})" if first else ""


def _listed(roles: Iterable[str]) -> str:
    return ", ".join(map(repr, roles))
