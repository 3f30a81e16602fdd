"""The goals of calibration, one module each; bench_calibration.py runs them and prints their rows."""
