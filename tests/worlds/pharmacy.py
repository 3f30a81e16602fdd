"""The pharmacy example, and the truth about its logs."""

from __future__ import annotations

import sys

from worlds.cluster.toolchain import ROOT

PHARMACY = ROOT / "examples" / "pharmacy"
sys.path.insert(0, str(PHARMACY))

from pharmacy_gold import Gold, pharmacy_gold  # noqa: E402

__all__ = ["PHARMACY", "Gold", "pharmacy_gold"]
