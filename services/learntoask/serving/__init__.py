"""The trained policy as a gRPC service: questions to ask and the moment to stop."""
