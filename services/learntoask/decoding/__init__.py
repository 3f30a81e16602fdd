"""Decoding on session trees: a trunk is prefilled once, its branches are decoded as one batch (docs/method.md).

    sessions     decode_sessions, decide_sessions, decide_contexts: what evaluation and GRPO call
    next_question  the next likely answer after a question that repeats
    decoder      Decoder: admit trunks, step, cancel; the policy server calls it directly
    branch       Branch and Trunk; how a branch chooses its next token
    drafts       guesses of how answers go on, so that a step computes several of their tokens
    prefill      which tokens of new trunks must be computed, in which batches
    attention    branches that share a trunk's keys and values
    vllm_cpu     settings for vLLM without a GPU

Begin with sessions, then branch and decoder.
"""
