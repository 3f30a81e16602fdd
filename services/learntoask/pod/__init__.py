"""A stage in a pod: the contract with the operator on one side, the laptop's stage process on the other."""
