"""LearnToAskRun: what is seen of its stages, what is decided, and what is done."""
