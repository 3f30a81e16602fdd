"""What the policy reads and writes as tokens: the pack's prompt, the base's chat template, the bound on its length.

Apart from the model, so that an engine which holds the weights itself renders exactly what training rendered.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from jinja2 import TemplateError
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase
from transformers.utils import GENERATION_CONFIG_NAME

from learntoask.core.errors import InputError
from learntoask.core.manifest import Train
from learntoask.core.pack import Pack
from learntoask.core.prompt import ChatMessage, Context, conversation, policy_messages
from learntoask.core.records import STOP, LabelledSession, Session


@dataclass(frozen=True)
class PromptLimits:
    """Limits that training, evaluation and serving must share so that a policy answers alike in all three.

    `max_prompt_tokens` bounds a rendered context. `may_stop=False` leaves the stop line out of the prompt (reward mode
    `ask_only`). `stop_threshold` is the probability of the whole stop string from which the policy stops; None leaves
    the decision to greedy decoding.
    """

    max_prompt_tokens: int = 2048
    may_stop: bool = True
    stop_threshold: float | None = None

    @classmethod
    def of(cls, train: Train) -> PromptLimits:
        """Return the limits that the manifest's `spec.train` asks for."""
        return cls(
            max_prompt_tokens=train.max_prompt_tokens,
            may_stop=train.reward.mode != "ask_only",
            stop_threshold=train.stop_threshold,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class PromptRenderer:
    """`may_stop=False` leaves the stop line out of the prompt (reward mode `ask_only`).

    `stop_threshold`: the probability of the whole stop string from which the answer is to stop; None lets greedy
    decoding decide.
    """

    tokenizer: PreTrainedTokenizerBase
    pack: Pack
    limits: PromptLimits = PromptLimits()
    other_ends: frozenset[int] = frozenset()

    @classmethod
    def read(cls, folder: Path, pack: Pack, *, limits: PromptLimits = PromptLimits()) -> PromptRenderer:
        """That of a published `model/` folder, without its weights."""
        return PromptRenderer(
            tokenizer=AutoTokenizer.from_pretrained(folder),
            pack=pack,
            limits=limits,
            other_ends=_made_to_end_with(folder),
        )

    @property
    def stop_threshold(self) -> float | None:
        """Probability of the whole stop string from which the policy stops; None leaves it to greedy decoding."""
        return self.limits.stop_threshold if self.limits.may_stop else None

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end an answer: the end of turn, and what else the base was made to end with."""
        return self.other_ends | {self.end_of_turn}

    def text(self, tokens: Sequence[int]) -> str:
        """The answer `tokens` say, without the token that ends it; stray special tokens stay visible."""
        said = tokens[:-1] if tokens and tokens[-1] in self.ends else tokens
        return str(self.tokenizer.decode(list(said), skip_special_tokens=False))

    @property
    def end_of_turn(self) -> int:
        """The token that ends an answer; the fetch stage sees to it that it is the tokenizer's `eos_token`."""
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def stop_tokens(self) -> tuple[int, ...]:
        """The whole stop string as the model is trained to write it, end of turn included."""
        return completion_tokens(self.tokenizer, STOP)

    def context_tokens(self, context: Context) -> tuple[int, ...]:
        """The rendered context, at most `max_prompt_tokens` long.

        A longer one keeps the system prompt and the most recent turns: the oldest turns are dropped whole, so that
        the conversation still begins with the user; a last turn that is too long by itself keeps its end.
        Raises InputError when the system prompt alone does not fit.
        """
        messages = policy_messages(
            self.pack, context.task, context.messages, goal=context.goal, may_stop=self.limits.may_stop
        )
        tokens = self._prompt(messages)
        if len(tokens) <= self.limits.max_prompt_tokens:
            return tokens
        system, turns = messages[0], messages[1:]
        starts = [index for index, turn in enumerate(turns) if turn["role"] == "user"]
        kept = bisect_left(
            starts,
            True,
            key=lambda start: len(self._prompt([system, *turns[start:]])) <= self.limits.max_prompt_tokens,
        )
        if kept < len(starts):
            return self._prompt([system, *turns[starts[kept] :]])
        return self._ending_of(system, turns[starts[-1]]["content"] if starts else "", task=context.task)

    def _ending_of(self, system: ChatMessage, said: str, *, task: str) -> tuple[int, ...]:
        words = self.tokenizer(said, add_special_tokens=False).input_ids
        room = self.limits.max_prompt_tokens - len(self._prompt([system, {"role": "user", "content": ""}]))
        while room > 0:
            ending = str(self.tokenizer.decode(words[-room:])).strip()
            tokens = self._prompt([system, {"role": "user", "content": ending}])
            if len(tokens) <= self.limits.max_prompt_tokens:
                return tokens
            room -= (
                len(tokens) - self.limits.max_prompt_tokens
            )  # the cut text may tokenise longer than it was
        raise InputError(
            f"the system prompt of task {task!r} alone fills train.maxPromptTokens ({self.limits.max_prompt_tokens}); "
            "raise it, or shorten the pack's prompt, goal or field descriptions"
        )

    def _prompt(self, messages: list[ChatMessage]) -> tuple[int, ...]:
        try:
            return prompt_tokens(self.tokenizer, messages)
        except TemplateError as error:
            raise InputError(f"the base model's chat template refuses the conversation: {error}") from error


def session_contexts(session: LabelledSession) -> list[Context]:
    """The contexts of the labelled decision points, in the order of `session.samples`."""
    record = session.session
    return [
        Context(record.task, record.goal, record.messages[: record.turns[sample.turn].start])
        for sample in session.samples
    ]


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, messages: list[ChatMessage]) -> tuple[int, ...]:
    """The context as the model reads it, up to where its answer begins."""
    control = _control_tokens(tokenizer)
    plain = [{**message, "content": control.sub(" ", message["content"])} for message in messages]
    text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    return tuple(tokenizer(text, add_special_tokens=False).input_ids)


def completion_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """An answer as the model writes it, its end-of-turn token included."""
    plain = _control_tokens(tokenizer).sub(" ", text)
    return (*tokenizer(plain, add_special_tokens=False).input_ids, tokenizer.eos_token_id)


def expert_answer(session: Session, turn: int) -> str:
    """What the policy should have said: the stop string at the session's stop, else the expert's own words."""
    if turn == session.stop_turn:
        return STOP
    span = session.turns[turn]
    said = conversation(session.messages[span.start : span.end])
    return said[0]["content"] if said else ""


def _made_to_end_with(folder: Path) -> frozenset[int]:
    if not (folder / GENERATION_CONFIG_NAME).exists():
        return frozenset()
    ends = GenerationConfig.from_pretrained(folder).eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or ())


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    added = tokenizer.added_tokens_decoder.values()
    control = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
    return re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or r"(?!)")
