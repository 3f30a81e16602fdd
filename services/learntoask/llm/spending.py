"""The requests, tokens and cost of a stage, and the budget that ends it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pydantic import JsonValue

from learntoask.core.errors import StageError
from learntoask.core.manifest import Budget, Prices
from learntoask.llm.wire import CompletionUsage


@dataclass
class Spending:
    """Totals over all endpoints of a stage, including the replies of earlier attempts.

    `where` is the manifest field of the budget, for messages.
    """

    budget: Budget
    where: str
    requests: int = 0  # requests sent, including retries
    answered: int = 0  # requests with a reply
    resumed: int = 0  # those of them that an earlier attempt sent
    usage: CompletionUsage = field(default_factory=CompletionUsage)
    cost: float | None = None  # in the currency of the prices; None without prices
    faults: Counter[str] = field(default_factory=Counter)  # by kind: `429`, `timeout`, `connection`, …
    ended: StageError | None = None

    def stop(self, error: StageError) -> None:
        """Refuse all further requests because of `error`."""
        self.ended = self.ended or error

    def count_request(self) -> None:
        """Count a request that is about to be sent. Raises StageError if the budget is spent or requests are
        refused."""
        if self.ended is not None:
            # A new error for each task, because one error would collect the tracebacks of thousands of tasks.
            raise StageError(str(self.ended), reason=self.ended.reason)
        limits = (
            ("requests", self.requests, self.budget.requests),
            ("tokens", self.usage.prompt + self.usage.completion, self.budget.tokens),
            ("cost", self.cost or 0.0, self.budget.cost),
        )
        for name, spent, limit in limits:
            if limit is not None and spent >= limit:
                raise StageError(
                    f"{self.where}.{name} = {limit:g} is spent ({self.requests} requests, {self.answered} answers); "
                    "raise it and run again. The answers so far are kept",
                    reason="BudgetSpent",
                )
        self.requests += 1

    def count_reply(
        self, usage: CompletionUsage | None, prices: Prices | None, *, resumed: bool = False
    ) -> None:
        """Count a reply, with `resumed` one of an earlier attempt.

        Raises StageError if the budget limits tokens or cost and the server does not report its token usage.
        """
        self.answered += 1
        if resumed:
            self.resumed += 1
            self.requests += 1
        if usage is None:
            if self.budget.tokens is not None or self.budget.cost is not None:
                raise StageError(
                    f"the server reports no token usage, so {self.where}.tokens and .cost cannot be checked; leave "
                    "them out, or configure the server to report `usage`",
                    reason="UsageUnknown",
                )
            return
        self.usage = CompletionUsage(
            prompt=self.usage.prompt + usage.prompt,
            cached=self.usage.cached + usage.cached,
            completion=self.usage.completion + usage.completion,
        )
        if prices is not None:
            cached_price = prices.prompt if prices.cached_prompt is None else prices.cached_prompt
            price = (usage.prompt - usage.cached) * prices.prompt + usage.cached * cached_price
            self.cost = (self.cost or 0.0) + (price + usage.completion * prices.completion) / 1e6

    def counts(self) -> dict[str, JsonValue]:
        """Return the totals for the summary of the stage."""
        return {
            "requests": self.requests,
            "answers": self.answered,
            "answers_resumed": self.resumed,
            "retries": sum(self.faults.values()),
            "faults": dict(self.faults.most_common()),
            "prompt_tokens": self.usage.prompt,
            "cached_prompt_tokens": self.usage.cached,
            "completion_tokens": self.usage.completion,
            "cost": None if self.cost is None else round(self.cost, 6),
        }
