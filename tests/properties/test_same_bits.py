"""The same bits: however the arguments lie, for any number of threads, and run to run."""

import itertools

import pytest
import torch
from cases import ELEMENTS, PRODUCTS, REDUCTIONS, UNIT, gradients

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
LOSSES = (*ELEMENTS, *PRODUCTS)  # rows of logits: test_layouts.py, test_determinism.py; similarity goes several ways


LAYOUTS = {
    "transposed": lambda t: t.mT.contiguous().mT,
    "strided": lambda t: t.repeat_interleave(2, -1)[..., ::2],
    "cropped": lambda t: torch.nn.functional.pad(t, (1, 2, 1, 0))[..., 1:, 1:-2],
    "channels last": lambda t: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t,
    "offset": lambda t: torch.cat([t.new_zeros(1), t.reshape(-1)])[1:].view(t.shape),
    "expanded": lambda t: t[:1].expand(t.shape),
}


@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_layouts(case, how, isa):
    """All tensors lie so, or the first one, or the others."""
    for dtype, which in itertools.product((torch.float32, torch.bfloat16), ("all", "first", "others")):
        arguments = case.make((3, 5, 9, 35) if case in ELEMENTS else (9, 35), {}, dtype)
        moved = {
            name: LAYOUTS[how](t.detach()).requires_grad_(t.requires_grad)
            if t.dim() > 1 and which in ("all", "others" if k else "first") else t
            for k, (name, t) in enumerate(arguments.items())
        }  # fmt: skip
        dense = {k: t.detach().contiguous().requires_grad_(t.requires_grad) for k, t in moved.items()}
        for reduction in REDUCTIONS:
            got, wanted = (gradients(case.functional, a, reduction=reduction) for a in (moved, dense))
            torch.testing.assert_close(got[0], wanted[0], rtol=64 * UNIT[dtype], atol=1e-6)  # another order of the sum
            for a, b in zip(got[1:], wanted[1:], strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_threads(case, isa):
    """With and without a gradient, too."""
    for dtype, reduction in itertools.product((torch.float32, torch.bfloat16), ("mean", "none")):
        arguments = case.make((300, 1001) if case in ELEMENTS else (700, 129), {}, dtype)
        results = []
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append(gradients(case.functional, arguments, reduction=reduction))
            with torch.no_grad():
                results[-1].append(case.functional(**arguments, reduction=reduction))
        assert torch.equal(results[0][0], results[0][-1])
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
