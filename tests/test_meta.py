"""Meta tensors, on a device that has no kernel and no autocast: shape and dtype of the loss and of its gradients."""

import pytest
import torch
from cases import COMPOSED, DIVERGENCE, DTYPES, ELEMENTS, EVERY, LINEAR, REDUCTIONS, REGIONS, SIMILARITY, SOFTMAX

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean'")  # of kl_div

LOSSES = [case for case in EVERY if case not in SIMILARITY]


def on_meta(arguments):
    return {
        k: v.detach().to("meta").requires_grad_(v.requires_grad) if isinstance(v, torch.Tensor) else v
        for k, v in arguments.items()
    }


def described(fn, arguments, options):
    """Device aside, the loss and its gradients."""
    leaves = {
        k: t.detach().requires_grad_(t.requires_grad) for k, t in arguments.items() if isinstance(t, torch.Tensor)
    }
    tensors = list(leaves.values())
    found = fn(**{**arguments, **leaves, **options})
    loss, *further = found if isinstance(found, tuple) else (found,)
    grads = torch.autograd.grad(loss.sum(), [t for t in tensors if t.requires_grad])
    further = [t for stats in further for t in stats]
    assert {t.device for t in (loss, *grads, *further)} == {tensors[0].device}
    return [(t.shape, t.dtype) for t in (loss, *grads, *further)]


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_as_on_the_cpu(case):
    for dtype in DTYPES:
        for n in (3, 3000):  # PyTorch's operator, and beyond
            for params in case.params:
                arguments = case.make((n, 20), params, dtype)
                for reduction in REDUCTIONS:
                    options = {"reduction": reduction}
                    wanted = described(case.functional, arguments, options)
                    assert described(case.functional, on_meta(arguments), options) == wanted


def is_pytorchs(case):
    """And works: of a variance PyTorch asks whether it is negative."""
    return case.drop_in and case.name != "gaussian_nll_loss"


@pytest.mark.parametrize("case", [c for c in LOSSES if is_pytorchs(c)], ids=str)
def test_as_pytorch(case):
    for dtype in (torch.float32, torch.bfloat16):
        for n in (3, 3000):
            arguments = on_meta(case.make((n, 20), {}, dtype))
            for autocast in (False, True):  # of the CPU: none of this device
                with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                    assert described(case.functional, arguments, {}) == described(case.native, arguments, {})


def options_of(case):
    if case in SOFTMAX:
        mask, weight = torch.rand(6) < 0.5, torch.rand(20, dtype=torch.float64)
        extras = dict(mask=mask), dict(weight=weight), dict(z_loss=0.1, softcap=5.0), dict(return_stats=True)
        return [
            *extras, dict(normalizer=3.0), dict(normalizer=torch.tensor(3)), dict(empty="zero", mask=mask & False),
            dict(label_smoothing=0.1), dict(loss_dtype=torch.float32),
        ]  # fmt: skip
    if case in (*COMPOSED, *REGIONS):
        extras = [{name: t} for name, t in case.extras((6, 20)).items()]
        return [*extras, dict(normalizer=3.0), dict(empty="zero"), dict(loss_dtype=torch.float32)]
    if case in LINEAR:
        shared = dict(normalizer=3.0), dict(empty="zero"), dict(loss_dtype=torch.float32)
        return [dict(mask=torch.rand(6) < 0.5), *shared]
    if case in DIVERGENCE:
        extras = case.extras((6, 20))
        return [extras, dict(mask=extras["mask"] & False, empty="zero"), dict(loss_dtype=torch.float32)]
    stats = dict(return_stats=True, reduction="mean")
    return [*case.options((6, 4, 5) if case in ELEMENTS else (6,)), stats]


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_options(case):
    arguments = case.make((6, 4, 5) if case in ELEMENTS else (6, 20), {}, torch.float64)
    for options in options_of(case):
        wanted = described(case.functional, arguments, options)
        assert described(case.functional, on_meta(arguments), on_meta(options)) == wanted, options
