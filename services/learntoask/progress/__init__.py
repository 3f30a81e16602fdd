"""Progress of stages, pushed from their pods to the operator (protos/learntoask/v1/progress.proto).

    in the pod: throttled, client ──▶ report ──▶ in the operator: server ◀── tokens: which pod is it?

Begin with `report`.

    report          what a pod reports, as a record and as protobuf
    client          sends the latest report from a thread of the pod
    server          receives reports in the operator
    tokens          checks a pod's service-account token
    remaining_time  estimates the remaining time of a step
    throttled       limits how often progress is passed on
"""
