"""The policy: a language model and the prompt that makes conversations its input. It is below decoding and training.

    prompt          contexts to tokens and tokens to answers; PromptLimits
    chat_form       the form in which the base's chat template takes a conversation
    model           Policy: the prompt with the model's weights
    architecture    models that session trees cannot compute are refused
    precision       bfloat16 where this machine computes it faster

Begin with prompt.PromptRenderer.
"""
