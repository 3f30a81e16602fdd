"""The gateway: one address for a policy, whichever servers answer behind it."""
