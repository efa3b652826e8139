"""Where the tests of the CUDA kernels run, and what only a device can show."""

import itertools
import os

import cases
import pytest
import torch

from fastloss._core import operators as _ops

# "cpu" where the operators for CUDA stand behind the CPU's dispatch key (emulation/plugin.py).
DEVICE = os.environ.get("FASTLOSS_CUDA_TEST_DEVICE", "cuda")
needs_device = pytest.mark.skipif(
    not (DEVICE == "cpu" or (torch.cuda.is_available() and _ops.CUDA)),
    reason=_ops.missing_cuda_reason() or "there is no CUDA device",
)


def on_device(options):
    return {k: v.to(DEVICE) if isinstance(v, torch.Tensor) else v for k, v in options.items()}


# Ways for a matrix to lie.
STRIDES = {
    "transposed": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "padded": lambda x: torch.nn.functional.pad(x, (0, 3))[:, : x.shape[1]],
    "every second": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "shifted": lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view_as(x),
}


def leaves_on_device(tensors):
    return tuple(t.detach().to(DEVICE).requires_grad_(t.requires_grad) for t in tensors)


def run(case, tensors, upstream=None, **options):
    """`cases.gradients` of our loss on the device, brought back."""
    if upstream is not None:
        upstream = torch.as_tensor(upstream, dtype=torch.float64).to(DEVICE)
    moved = leaves_on_device(tensors)
    return [t.cpu() for t in cases.gradients(case.functional, moved, upstream, **on_device(options))]


def check_retained_graph(loss, leaves):
    first, second = (torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def check_waits_for_nothing(step, leaf, other):
    """No synchronisation in ``step``, and a graph of it that replays on the new values ``other`` of ``leaf``."""
    try:
        torch.cuda.set_sync_debug_mode("error")
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


def check_losses_wait_for_nothing(case, n, make):
    """`check_waits_for_nothing` for ``n`` losses of the pointwise or the pairs family, with the options that change a
    step; ``make(dtype, seed)`` makes the arguments."""
    mask = (torch.arange(n) % 3 != 0).to(DEVICE)
    for dtype, options in itertools.product(
        (torch.float32, torch.bfloat16, torch.float16),
        ({}, {"normalizer": 8.0}, {"mask": mask}, {"mask": mask, "reduction": "none"}),
    ):
        leaf, *rest = (t.detach().to(DEVICE) for t in make(dtype, 0))
        other = make(dtype, 1)[0].detach().to(DEVICE)
        leaf.requires_grad_()

        def step(leaf=leaf, rest=rest, options=options):
            loss = case.functional(leaf, *rest, **{"reduction": "mean", **options})
            return loss, *torch.autograd.grad(loss, leaf, torch.ones_like(loss))

        check_waits_for_nothing(step, leaf, other)
