"""AskEndpoint: one reconcile observes the servers, decides the rollout, writes the status, and applies the objects.

reconciler  one reconcile; begin here
policy      which policy the spec means: given keys, or what the named run has published (pure)
observe     Deployments and pods → the servers of each revision and the gateways (pure)
gateways    what gateways tell the operator and are told by it
trial       which policy is tried on a part of the conversations, and whether it may take over (pure)
decide      from one policy to the next without a failed call (pure)
findings    what the conditions say, from pods and from what gateways see (pure)
status      conditions, phase and Events (pure)
apply       applies the objects, and says which one was refused or belongs to another owner
render/     Deployments, Services, PodDisruptionBudgets, autoscaler (pure)
labels      labels and names of the objects
"""
