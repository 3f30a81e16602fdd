"""Reconciles LearnToAskRun and AskEndpoint objects: one process, one asyncio task per object.

    kopf's watch ─► loop ─► reconciler:  observe ─► decide ─► apply objects, write status, post Events
    child watch  ─► cache ───────┘       (pure)     (pure)    (kube)

Begin with `loop` (when an object is reconciled) and `run/reconciler` (what one reconcile does).

process      assembles the process: Lease, watches, loop, health, metrics, progress server
settings     flags and LTA_OPERATOR_… variables
leader/      which replica acts: the Lease, renewed in a separate thread
watch        kopf: watches runs and endpoints and wakes the loop
loop         one task per object: reconcile when woken or when due, never twice at once
cache/       the children (Jobs, pods, Deployments …) and Warning Events as their watches last reported them
causes       why a pod does not start, and whether waiting can help
ownership    labels and owner references that tie children to their run or endpoint
run/         LearnToAskRun: observe, decide, status, render
endpoint/    AskEndpoint: observe, decide, status, render
render/      parts of pod templates that runs and endpoints share
events       Kubernetes Events, posted in the background
health, metrics, logs    what Kubernetes and Prometheus read
rbac         the rights that the operator needs, one reason for each
compression  JSON objects compressed in memory
"""
