"""Stubs generated from protos/ by tools/generate_protos.py; never edited."""
