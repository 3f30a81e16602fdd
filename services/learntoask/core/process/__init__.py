"""Processes of this machine: `parent_death` ends a child with its parent, `exit` says how a process ended."""
