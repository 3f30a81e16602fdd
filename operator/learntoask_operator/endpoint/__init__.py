"""AskEndpoint: which policy is to be served, how far its servers are, what is done about it."""
