"""The operator: one process that makes LearnToAskRuns and AskEndpoints so.

process      Lease, kopf, watches, health and metrics: everything with a life of its own
loop         one task an object: woken by events, one pass at a time, later passes when due
children     what the watches know of Jobs, pods and Deployments
run/         LearnToAskRun: observe (pure) → plan (pure, shared with the laptop) → act → status
endpoint/    AskEndpoint, likewise
render/      manifests of children: pure
"""
