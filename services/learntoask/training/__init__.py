"""Training: from a base model to the policy that asks (docs/method.md).

    base.stage            fetch: the base model as a Hugging Face folder         base/
    sft.stage             sft: imitate the experts' labelled turns               sft/
    grpo.stage            grpo: improve on graded samples of the policy itself   grpo/
       |  both trainers use
       |- tree/           session trees: one pass over a session with all its completions
       |- optim/          learner, optimiser, checkpoints, adapters
       |- distributed/    several workers on one run
       |- run             the settings of a run
       |- journal         metrics of every update
       |- policy_folder   open and publish the policy
       '- field_order     shuffle the fields of prompts

Read tree/layout first, which defines what is computed, then sft/trainer, the shorter of the two loops, then grpo/loss
and grpo/trainer. The model itself is in `learntoask.policy`, sampling in `learntoask.decoding`.
"""
