"""What every gRPC server of the project shares: listening, who may call, the frame of a call, its metrics and logs."""
