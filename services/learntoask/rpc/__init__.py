"""What every gRPC server of the project shares, and the channels of their clients.

    config ──▶ server (security, health, metrics) ──▶ calls: one request ──▶ requests: parsed, checked
    process runs a server until SIGTERM, or in a thread of this process

Begin with `server.GrpcServer`; `calls.Call` shows what happens to each call.

    server     GrpcServer: listens, answers health checks, drains in order
    process    runs a GrpcServer as a process or in a thread
    config     the settings of a server, read from flags and environment
    security   TLS and the bearer token on the server's side
    calls      request id, status code, metrics and log line of one call
    batches    messages of a stream that carry several items each
    files      files of certificates, and whether they were replaced
    requests   malformed bytes, invalid fields, limits on sizes
    metrics    counters and latencies for Prometheus
    logs       JSON lines on standard error, written by a thread
    channels   TLS and the bearer token on the client's side
    tracing    traces by OpenTelemetry, off unless the environment names a receiver
    spans      spans of calls and of other work
    otlp       sends spans to the receiver
"""
