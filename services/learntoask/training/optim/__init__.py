"""How weights change, alike for SFT and GRPO.

optimizer      AdamW, the learning rate of each update, the check for finite losses
learner        Learner: forward, backward and step with plain PyTorch
deepspeed      DeepSpeedLearner: the same with ZeRO; make_learner chooses
lora           adapters instead of all weights
token_budget   tokens of a micro-batch, halved when memory runs out
checkpoint     files that a killed run continues from
"""
