"""Progress of stages, pushed by their pods to the operator: who may tell what, the telling, and the listening."""
