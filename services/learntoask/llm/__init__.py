"""A client of language models behind OpenAI-compatible addresses; labeller and judge ask through it.

LlmClient.complete ─► journal: answered before a kill? ─► gate: how many at once ─► connections: one request
                   ◄─ answers: constrained JSON, checked ◄─ wire: reply, fault or denial ◄─┘
spending counts requests, tokens and costs, and ends the work when a budget is spent
"""
