"""Goals of pack induction (docs/packs.md), measured by tests/bench/bench_pack_induction.py."""
