"""The laptop's executor: the stages of a run as processes of one machine."""
