"""Engines decode the policy's answers; the decider knows only their protocol.

    protocol      Engine: from a context to a draft, for many contexts at once
    transformers  this project's decoder, in a thread of the server
    vllm          vLLM inside the server's process
    vllm_logits   the part that runs in vLLM's workers: forced and forbidden tokens
    weights       whether a running engine can take over the weights of another folder

Begin with `protocol`.
"""
