"""What pods and the operator tell each other (protos/learntoask/v1/progress.proto, gateway.proto).

    in a stage's pod: throttled, client ──▶ report ──▶ in the operator: server ◀── callers, tokens: which pod is it?
    in a gateway (learntoask.serving.gateway.operator_link) ◀──────────▶ gateways

Begin with `report`.

    report          what a stage's pod reports, as a record and as protobuf
    client          sends the latest report from a thread of the pod
    server          the operator's server; receives reports
    gateways        the other service of this server: which servers gateways see, and where servers are
    callers         finds out which pod calls
    tokens          checks a pod's service-account token
    remaining_time  estimates the remaining time of a step
    throttled       limits how often progress is passed on
"""
