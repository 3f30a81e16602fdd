"""Asking once more, with the reason why an answer was not accepted."""

from __future__ import annotations

from collections.abc import Sequence

from learntoask.core.prompt import ChatMessage

_SHOWN = 2000  # characters of a refused answer that the model reads again
_PROBLEMS = 8  # of them that it is told


def retry_messages(
    messages: Sequence[ChatMessage], *, answer: str, problems: Sequence[str]
) -> list[ChatMessage]:
    """The same question with the answer that was not accepted, and why."""
    listed = "\n".join(f"- {problem}" for problem in problems[:_PROBLEMS])
    return [
        *messages,
        {"role": "assistant", "content": answer[:_SHOWN] or "(no answer)"},
        {
            "role": "user",
            "content": f"This answer cannot be accepted:\n{listed}\nAnswer again, as one whole JSON object.",
        },
    ]
