"""The children of runs and endpoints, as their watches last reported them.

children      ChildCache: Jobs, pods, Deployments … by owner, selected by label at the API server
warnings      WarningCache: Warning Events about Jobs and pods
projections   the fields of each kind that the operator reads; nothing else is kept
"""
