"""Published figures, for orientation. They come from other data, a larger model and an LLM judge.

RealMedConv with Qwen2.5-7B-Instruct, from "Grounded in Reality: Learning and Deploying Proactive LLM from Offline
Logs" (Wei et al., arXiv 2510.25441): untrained, trained with Trinity-RFT, trained with AgentScope-Tuner.
"""

from __future__ import annotations

from types import MappingProxyType

POLICIES = ("base", "Trinity", "AgentScope")
FIGURES = MappingProxyType(
    {
        "WA": (0.436, 0.496, 0.509),
        "WA-GH": (0.122, 0.246, 0.224),
        "WS-continue": (0.963, 0.909, 0.922),
        "WS-stop": (0.024, 0.927, 0.909),
        "TA": (0.467, 0.918, 0.915),
        "Format": (0.376, 0.713, 0.882),
        "Total": (1.281, 3.078, 3.237),
    }
)
SOURCE = "RealMedConv, Qwen2.5-7B-Instruct (arXiv 2510.25441)"
