"""Whether the experts' questions fit into the longest answer that a policy may write (`train.maxNewTokens`).

A check has no tokenizer. It counts a token for four bytes of UTF-8, which is near to what tokenizers make of English
and of Chinese, so only a limit that is clearly too small is warned of.
"""

from __future__ import annotations

from dataclasses import dataclass

from learntoask.core.prompt import conversation
from learntoask.core.records import LabelledSession

BYTES_PER_TOKEN = 4


@dataclass
class AnswerLengths:
    """Counts the experts' questions that a policy could not finish. `longest` is in tokens, as estimated."""

    max_new_tokens: int
    questions: int = 0
    cut: int = 0
    longest: int = 0

    def add(self, labelled: LabelledSession) -> None:
        """Count the questions of the labelled `continue` turns."""
        session = labelled.session
        for sample in labelled.samples:
            if sample.decision != "continue":
                continue
            turn = session.turns[sample.turn]
            text = "\n".join(
                message["content"] for message in conversation(session.messages[turn.start : turn.end])
            )
            tokens = -(-len(text.encode()) // BYTES_PER_TOKEN)
            self.questions += 1
            self.cut += tokens > self.max_new_tokens
            self.longest = max(self.longest, tokens)

    def warning(self) -> str | None:
        """Return a warning if most questions are longer than the limit."""
        if self.cut * 2 <= self.questions:
            return None
        return (
            f"{self.cut} of {self.questions} questions of the experts are longer than about {self.max_new_tokens} "
            f"tokens (train.maxNewTokens), so a policy cannot finish such a question; the longest has about "
            f"{self.longest}: raise the limit"
        )
