"""Statistics that reports, gates and rollouts share: pure functions of numpy arrays, each with the paper it is from."""
