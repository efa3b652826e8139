"""Meta tensors, on a device that has no kernel and no autocast: shape and dtype of the loss and of its gradients."""

import pytest
import torch
from cases import (
    CASES,
    DTYPES,
    PAIRS,
    POINTWISE,
    REDUCTIONS,
    make,
    make_pairs,
    make_points,
    pair_options,
    point_options,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean'")  # of kl_div

EVERY = [
    *((case, lambda case, n, dtype: make((n, 20), dtype)) for case in CASES),
    *((case, lambda case, n, dtype: make_points(case, (n, 20), dtype)) for case in POINTWISE),
    *((case, lambda case, n, dtype: make_pairs(case, (n,), 20, dtype)) for case in PAIRS),
]
EVERY_LOSS = pytest.mark.parametrize(("case", "arguments"), [pytest.param(*every, id=str(every[0])) for every in EVERY])


def to_meta(value):
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().to("meta").requires_grad_(value.requires_grad)


def described(fn, tensors, options):
    """Device aside, the loss and its gradients."""
    tensors = [t.detach().requires_grad_(t.requires_grad or k == 0) for k, t in enumerate(tensors)]
    found = fn(*tensors, **options)
    loss, *further = found if isinstance(found, tuple) else (found,)
    grads = torch.autograd.grad(loss.sum(), [t for t in tensors if t.requires_grad])
    further = [t for stats in further for t in stats]
    assert {t.device for t in (loss, *grads, *further)} == {tensors[0].device}
    return [(t.shape, t.dtype) for t in (loss, *grads, *further)]


@EVERY_LOSS
def test_as_on_the_cpu(case, arguments):
    for dtype in DTYPES:
        for n in (3, 3000):  # PyTorch's operator, and beyond
            tensors = arguments(case, n, dtype)
            for params in case.params:
                for reduction in REDUCTIONS:
                    options = {**params, "reduction": reduction}
                    wanted = described(case.functional, tensors, options)
                    assert described(case.functional, [to_meta(t) for t in tensors], options) == wanted


def is_pytorchs(case):
    """And works: of a variance PyTorch asks whether it is negative."""
    return case.native is getattr(torch.nn.functional, case.name, None) is not None and case.name != "gaussian_nll_loss"


PYTORCHS = [pytest.param(*every, id=str(every[0])) for every in EVERY if is_pytorchs(every[0])]


@pytest.mark.parametrize(("case", "arguments"), PYTORCHS)
def test_as_pytorch(case, arguments):
    for dtype in (torch.float32, torch.bfloat16):
        for n in (3, 3000):
            tensors = [to_meta(t) for t in arguments(case, n, dtype)]
            for autocast in (False, True):  # of the CPU: none of this device
                with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                    assert described(case.functional, tensors, {}) == described(case.native, tensors, {})


def options_of(case):
    if case in CASES:
        mask, weight = torch.rand(6) < 0.5, torch.rand(20, dtype=torch.float64)
        extras = dict(mask=mask), dict(weight=weight), dict(z_loss=0.1, softcap=5.0), dict(return_stats=True)
        return [
            *extras, dict(normalizer=3.0), dict(normalizer=torch.tensor(3)), dict(empty="zero", mask=mask & False),
            dict(label_smoothing=0.1), dict(loss_dtype=torch.float32),
        ]  # fmt: skip
    stats = dict(return_stats=True, reduction="mean")
    return [*(pair_options(6) if case in PAIRS else point_options((6, 4, 5))), stats]


@EVERY_LOSS
def test_options(case, arguments):
    cube = case in POINTWISE
    tensors = make_points(case, (6, 4, 5), torch.float64) if cube else arguments(case, 6, torch.float64)
    for options in options_of(case):
        wanted = described(case.functional, tensors, options)
        on_meta = {name: to_meta(value) for name, value in options.items()}
        assert described(case.functional, [to_meta(t) for t in tensors], on_meta) == wanted, options
