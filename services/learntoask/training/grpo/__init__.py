"""Group-relative policy optimisation (GRPO) on session trees, and the baselines it is measured against.

stage           run(context): what the runner calls
run             GrpoRun, Position, GrpoResult
trainer         GrpoTrainer: one batch after the other, validation, choice of the policy, checkpoints
  samples         answers of a batch, their grades and rewards      (vllm_rollouts: answers drawn by vLLM)
  batch           session trees with these answers, packed          (advantages: within a group)
  update          gradients and steps on the packed trees
  loss            the GRPO loss                                     (baselines: DPO, reward-weighted SFT)
validation      which policy is better
guards          stop a run that has gone wrong
"""
