"""The graders of a run as a gRPC service, and the grader that asks one (protos/learntoask/v1/grader.proto)."""
