"""Statistics of evaluation.

metrics    the metrics as ratios of sums per session
bootstrap  confidence intervals and differences by resampling sessions
"""
