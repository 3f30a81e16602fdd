"""Measures the peak memory of updates on trees of several sizes. Each size gets a new process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from learntoask.training.tree.layout import pack_micro_batch
from learntoask.training.tree.scoring import score

from tree_update.cases import case_of, model_of
from tree_update.ways import by_tree

SIZES = (2000, 4000, 8000, 16000, 32000)  # packed tokens


def peak_memory(tokens: int, shape: str, *, device: str, bf16: bool, lora: bool) -> None:
    """Print the peak memory in MB, above that of the model, of one update of about `tokens` packed tokens."""
    model = model_of(shape, device, lora=lora)
    by_tree(model, case_of(2, 2, device=device))
    model.zero_grad(set_to_none=False)
    size = case_of(8, 5).tree.size
    packed = pack_micro_batch([case_of(8, 5, seed=index).tree for index in range(max(1, tokens // size))])
    before = _used(device)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        logprobs = score(model, packed).logprobs
    logprobs.sum().backward()
    print(len(packed.tokens), _peak(device) - before)


def _peak(device: str) -> float:
    """Peak memory in MB since the last `_used`."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    return _status("VmHWM")


def _used(device: str) -> float:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the imports
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def memory() -> None:
    """Print the peak memory of updates of `SIZES`. The running script is started again, and calls `peak_memory`."""
    print("packed tokens | peak MB | MB a 1,000 tokens")
    for tokens in SIZES:
        out = subprocess.run(
            [sys.executable, *sys.argv, "--peak", str(tokens)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        packed, peak = int(out[0]), float(out[1])
        print(f"{packed:13,d} | {peak:7,.0f} | {peak / packed * 1000:6.1f}", flush=True)
