"""Session trees: one forward and backward pass over a session with all its completions (docs/method.md).

    layout           SessionTree, and MicroBatch: packed trees with three integers a token for the mask
    rendering        the trunk of a session, and where its contexts end
    attention        tree attention in transformers' interface
      attention_cpu    part by part, with its own backward pass
      attention_gpu    the block mask for FlexAttention
    scoring          score(model, micro_batch): log-probabilities of the targets
    logprobs         log-softmax, gather and entropy in one pass over memory

The results equal those of a padded batch within float tolerance. Begin with layout.
"""
