"""Made-up people at a made-up pharmacy counter; `generate_logs.py` writes what they say to files."""
