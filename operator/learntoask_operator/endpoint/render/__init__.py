"""The objects of an endpoint, as plain dicts: pure functions of the endpoint, the settings and the decision.

objects  all objects: Deployments, Services, PodDisruptionBudgets, autoscaler
servers  pod template of the policy servers
gateway  pod template of the gateways
pods     what both templates share
"""
