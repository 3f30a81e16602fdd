"""Prompts and answers of the policy as tokens: the pack's prompt, the base's chat template, the limits of a prompt.

This is separate from the model, so that an engine that holds the weights itself (vLLM) renders exactly the tokens that
training rendered.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase
from transformers.utils import GENERATION_CONFIG_NAME

from learntoask.core import assessment
from learntoask.core.assessment import AssessedAnswer, MissingField
from learntoask.core.errors import InputError
from learntoask.core.manifest import Train
from learntoask.core.pack import Pack
from learntoask.core.prompt import ChatMessage, Context, conversation, system_prompt
from learntoask.core.records import STOP, LabelledSession, Sample, Session
from learntoask.policy.chat_form import render_chat
from learntoask.policy.stopping import Stopping, threshold_of


@dataclass(frozen=True)
class PromptLimits:
    """Limits that training, evaluation and serving must share so that a policy answers alike in all three.

    `max_prompt_tokens` bounds a rendered context. `may_stop=False` leaves the stop line out of the prompt (reward mode
    `ask_only`). `stop_threshold` is the probability of the whole stop string from which the policy stops; None leaves
    the decision to greedy decoding. With `assess` the policy writes its assessment before a question
    (`train.assessment: fields`).
    """

    max_prompt_tokens: int = 2048
    may_stop: bool = True
    stop_threshold: float | None = None
    assess: bool = False

    @classmethod
    def of(cls, train: Train, chosen: Stopping | None = None) -> PromptLimits:
        """Return the limits that the manifest's `spec.train` asks for. `chosen` is what `stopThreshold: auto` chose."""
        return cls(
            max_prompt_tokens=train.max_prompt_tokens,
            may_stop=train.reward.mode != "ask_only",
            stop_threshold=threshold_of(train.stop_threshold, chosen),
            assess=train.assesses,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class PromptRenderer:
    """Renders contexts to tokens and tokens to the text of an answer.

    `other_ends` are tokens that end an answer in addition to the tokenizer's end of turn.
    """

    tokenizer: PreTrainedTokenizerBase
    pack: Pack
    limits: PromptLimits = PromptLimits()
    other_ends: frozenset[int] = frozenset()

    @classmethod
    def read(cls, folder: Path, pack: Pack, *, limits: PromptLimits = PromptLimits()) -> PromptRenderer:
        """Return the renderer for the policy in `folder`, a published `model/`. Its weights are not read."""
        return PromptRenderer(
            tokenizer=AutoTokenizer.from_pretrained(folder),
            pack=pack,
            limits=limits,
            other_ends=_generation_ends(folder),
        )

    @property
    def stop_threshold(self) -> float | None:
        """Probability of the whole stop string from which the policy stops; None leaves it to greedy decoding."""
        return self.limits.stop_threshold if self.limits.may_stop else None

    @property
    def ends(self) -> frozenset[int]:
        """All tokens that end an answer: the end of turn, and those of the base's generation config."""
        return self.other_ends | {self.end_of_turn}

    @property
    def end_of_turn(self) -> int:
        """The tokenizer's `eos_token`, which stage `fetch` sets to the token that ends an answer in the template."""
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def stop_tokens(self) -> tuple[int, ...]:
        """The whole stop string as the model is trained to write it, including the end of turn."""
        return completion_tokens(self.tokenizer, STOP)

    @cached_property
    def stop_beginning(self) -> tuple[int, ...]:
        """The shortest beginning of the stop string with which no question begins."""
        if not self.limits.assess:
            return self.stop_tokens[:1]
        tag = completion_tokens(self.tokenizer, assessment.OPEN)
        return self.stop_tokens[: shared_tokens(self.stop_tokens, tag) + 1]

    def answer(self, tokens: Sequence[int], task: str) -> AssessedAnswer:
        """Return the answer for a task without the token that ends it. Other special tokens stay visible.

        The assessment is split off here, so that nothing else sees it in a text.
        """
        body = tokens[:-1] if tokens and tokens[-1] in self.ends else tokens
        text = str(self.tokenizer.decode(list(body), skip_special_tokens=False))
        if not self.limits.assess:
            return AssessedAnswer(text)
        return assessment.parse(text, self.pack.task(task).fields)

    def missing(
        self, answer: AssessedAnswer, tokens: Sequence[int], logprobs: Sequence[float]
    ) -> tuple[MissingField, ...]:
        """Return the fields that `answer` names; `logprobs` are those of `tokens`, from which it was read."""
        ends = [
            len(self.tokenizer.decode(list(tokens[: index + 1]), skip_special_tokens=False))
            for index in range(len(tokens) if answer.spans else 0)
        ]
        places = list(zip([0, *ends], ends, logprobs, strict=False))
        return tuple(
            MissingField(name, math.exp(sum(p for begin, end, p in places if begin < last and end > first)))
            for name, (first, last) in zip(answer.assessment or (), answer.spans, strict=True)
        )

    def target(self, text: str, task: str, sample: Sample | None) -> str:
        """Return what the policy learns to write to answer `text` at the decision point of `sample`."""
        if not self.limits.assess or sample is None or sample.decision == "stop":
            return text
        missing = {item.field for item in sample.remaining}
        return assessment.render(text, missing=missing, fields=self.pack.task(task).fields)

    def system_message(self, task: str, goal: str | None) -> ChatMessage:
        """Return the message that every prompt for a task begins with."""
        limits = self.limits
        content = system_prompt(self.pack, task, goal=goal, may_stop=limits.may_stop, assess=limits.assess)
        return {"role": "system", "content": content}

    def context_tokens(self, context: Context) -> tuple[int, ...]:
        """Return the rendered context, at most `limits.max_prompt_tokens` tokens long.

        A longer context keeps the system prompt and the most recent turns. The oldest turns are dropped whole, so that
        the conversation still begins with the user; if the last turn alone is too long, only its end is kept.
        Raises InputError when the system prompt alone does not fit, or when the template refuses the conversation.
        """
        system, turns = self.system_message(context.task, context.goal), conversation(context.messages)
        tokens = prompt_tokens(self.tokenizer, [system, *turns])
        if len(tokens) <= self.limits.max_prompt_tokens:
            return tokens
        starts = [index for index, turn in enumerate(turns) if turn["role"] == "user"]
        kept = bisect_left(
            starts,
            True,
            key=lambda start: (
                len(prompt_tokens(self.tokenizer, [system, *turns[start:]])) <= self.limits.max_prompt_tokens
            ),
        )
        if kept < len(starts):
            return prompt_tokens(self.tokenizer, [system, *turns[starts[kept] :]])
        return self._end_of(system, turns[starts[-1]]["content"] if starts else "", task=context.task)

    def _end_of(self, system: ChatMessage, content: str, *, task: str) -> tuple[int, ...]:
        """The prompt with as much of the end of a single user message as fits."""
        tokens = self.tokenizer(content, add_special_tokens=False).input_ids
        room = self.limits.max_prompt_tokens - len(
            prompt_tokens(self.tokenizer, [system, {"role": "user", "content": ""}])
        )
        while room > 0:
            ending = str(self.tokenizer.decode(tokens[-room:])).strip()
            prompt = prompt_tokens(self.tokenizer, [system, {"role": "user", "content": ending}])
            if len(prompt) <= self.limits.max_prompt_tokens:
                return prompt
            # The cut text may have more tokens than before.
            room -= len(prompt) - self.limits.max_prompt_tokens
        raise InputError(
            f"the system prompt of task {task!r} alone fills spec.train.maxPromptTokens "
            f"({self.limits.max_prompt_tokens}); raise it, or shorten the pack's prompt, goal or field descriptions"
        )


def session_contexts(session: LabelledSession) -> list[Context]:
    """Return the contexts of the labelled decision points, in the order of `session.samples`."""
    record = session.session
    return [
        Context(record.task, record.goal, record.messages[: record.turns[sample.turn].start])
        for sample in session.samples
    ]


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, messages: list[ChatMessage]) -> tuple[int, ...]:
    """Return the rendered conversation up to where the model's answer begins.

    The tokenizer's control tokens are removed from every message, in training and in serving, because a user who types
    one must not be able to open a turn of another role. Raises InputError when the template refuses the conversation.
    """
    control = _control_tokens(tokenizer)
    plain: list[ChatMessage] = [
        {"role": message["role"], "content": control.sub(" ", message["content"])} for message in messages
    ]
    text = render_chat(tokenizer, plain)
    return tuple(tokenizer(text, add_special_tokens=False).input_ids)


def completion_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Return an answer as the model writes it, without control tokens and with its end of turn."""
    plain = _control_tokens(tokenizer).sub(" ", text)
    return (*tokenizer(plain, add_special_tokens=False).input_ids, tokenizer.eos_token_id)


def expert_answer(session: Session, turn: int) -> str:
    """Return the answer to learn at `turn`: the stop string at the session's stop, else the expert's text."""
    if turn == session.stop_turn:
        return STOP
    span = session.turns[turn]
    messages = conversation(session.messages[span.start : span.end])
    return messages[0]["content"] if messages else ""


def shared_tokens(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of tokens with which both sequences begin."""
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


def group_by_prefix(prompts: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Return groups of indices such that every prompt of a group is a prefix of the group's first prompt.

    Given longest first, the groups are the fewest possible. The contexts of one session nearly always form one group;
    not where a template rewrites earlier turns, an expert turn is empty (two user turns merge), or a prompt is cut.
    """
    groups: list[list[int]] = []
    for index, prompt in enumerate(prompts):
        for group in groups:
            if prompts[group[0]][: len(prompt)] == prompt:
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    added = tokenizer.added_tokens_decoder.values()
    control = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
    return re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or r"(?!)")


def _generation_ends(folder: Path) -> frozenset[int]:
    """The ids in `eos_token_id` of the folder's generation config."""
    if not (folder / GENERATION_CONFIG_NAME).exists():
        return frozenset()
    ends = GenerationConfig.from_pretrained(folder).eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or ())
