"""The graders of a run as a gRPC service, and its client (protos/learntoask/v1/grader.proto).

    stage ──▶ grader_source ──▶ client ──▶ wire ──▶ service, input_checks ──▶ engine: batching or judge_engine
                     └──▶ a grader in the stage's own process

Begin with `grader_source.open_grader` on the side of a stage and with `service` on the side of the service.

    grader_source  a stage's grader: in its process, or behind an address
    client         RemoteGrader: a grader that asks the service
    retry          which failed calls are repeated
    wire           cases and grades to protobuf and back
    process        `lta grader serve`: loads the graders and runs the service
    server         GraderServer: connects the parts
    service        GraderService: requests to cases, results to responses
    input_checks   checks of requests
    engine         GradingEngine: grades cases of many callers
    batching       the engine of fitted graders: one thread, dynamic batches
    judge_engine   the engine of a language model as judge: all cases at once
    config         settings
    metrics        Prometheus metrics
"""
