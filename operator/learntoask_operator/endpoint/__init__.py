"""AskEndpoint: one reconcile observes the servers, decides the rollout, writes the status, and applies the objects.

reconciler  one reconcile; begin here
policy      which policy the spec means: given keys, or what the named run has published (pure)
observe     Deployments and pods → the servers of each revision and the gateways (pure)
decide      from one policy to the next without a failed call (pure)
status      conditions, phase and Events (pure)
render/     Deployments, Services, PodDisruptionBudgets, autoscaler (pure)
labels      labels and names of the objects
"""
