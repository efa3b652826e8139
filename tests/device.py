"""Where the tests of the CUDA kernels run, and what only a device can show."""

import os

import pytest
import torch

from fastloss import _ops

# "cpu" where the operators for CUDA stand behind the CPU's dispatch key (emulation/plugin.py).
DEVICE = os.environ.get("FASTLOSS_CUDA_TEST_DEVICE", "cuda")
needs_device = pytest.mark.skipif(
    not (DEVICE == "cpu" or (torch.cuda.is_available() and _ops.CUDA)),
    reason=_ops.missing_cuda_reason() or "there is no CUDA device",
)


def on_device(options):
    return {k: v.to(DEVICE) if isinstance(v, torch.Tensor) else v for k, v in options.items()}


def check_waits_for_nothing(step, leaf, other):
    """No synchronisation in ``step``, and a graph of it that replays on the new values ``other`` of ``leaf``."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        leaf.copy_(other)
    graph.replay()
    replayed = [t.clone() for t in captured]
    for a, b in zip(replayed, step(), strict=True):
        assert torch.equal(a, b)
