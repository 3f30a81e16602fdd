"""The prompt that asks for a corrected answer."""

from __future__ import annotations

from collections.abc import Sequence

from learntoask.core.prompt import ChatMessage

_SHOWN = 2000  # characters of the rejected answer that the prompt repeats
_PROBLEMS = 8  # problems that the prompt lists


def retry_messages(
    messages: Sequence[ChatMessage], *, answer: str, problems: Sequence[str]
) -> list[ChatMessage]:
    """Return `messages` with the rejected answer and the problems that it had, and a request for a new answer."""
    listed = "\n".join(f"- {problem}" for problem in problems[:_PROBLEMS])
    return [
        *messages,
        {"role": "assistant", "content": answer[:_SHOWN] or "(no answer)"},
        {
            "role": "user",
            "content": f"This answer cannot be accepted:\n{listed}\nAnswer again, as one whole JSON object.",
        },
    ]
