"""Worlds: the surroundings that tests put the product into, from fakes in memory to a real node.

In memory: fake_kube (an API server), operator (one run with its controllers), llm/ (scripted language models).
In this process: serving, gateway, grader_service, with a scripted engine or grader; calibration_run (stages of a run).
As processes: pod (stages with the operator's variables), minio, cluster/ (a control plane), node/ (a whole node).
Data and small models: evaluation, grader, serving_policy, stopping_policy, tiny_training, trees, scale.
waiting waits for a condition.
"""
