"""A client of language models on OpenAI-compatible servers. The labeller `llm` and the judge use it.

LlmClient.complete ─► journal: already answered? ─► concurrency: wait for a slot ─► connection: one request
                   ◄─ structured_output: checked JSON ◄─ wire: reply, fault or denial ◄─┘

    client              LlmClient: begin here
    wire                the body of a request, and the meaning of a response
    connection          one HTTP request, with apikey
    concurrency         how many requests run at once, and when a failed one is retried
    structured_output   from a model's reply to a checked form, or the reason why there is none
    journal             replies on disk, for the next attempt of a killed stage
    spending            requests, tokens and cost, and the budget that ends a stage
    retry               the prompt that asks for a corrected answer
"""
