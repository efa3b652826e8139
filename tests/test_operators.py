"""The operators themselves, called past our Python: they refuse what they cannot read."""

import pytest
import torch

from fastloss import _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="without the extension there are no operators")

X = torch.rand(4, 6) * 0.8 + 0.1


def losses(kind):
    return getattr(_ops.extension(), f"{kind}_losses")() if _ops.AVAILABLE else []


def parameters(names):
    """Allowed values."""
    return [{"clip": 0.1, "p": 2.0}.get(name, 1.0) for name in filter(None, names.split(","))]


def third(name):
    if name in ("cosine_embedding_loss", "contrastive_loss"):  # a label per row
        return torch.ones(4)
    three = ("pos_weight", "ranking", "gaussian", "triplet")
    return X.clone() if any(part in name for part in three) else None


def points(name, names, **changed):
    """Calls the operator that writes gradients; every argument allowed, but for those that are given."""
    arguments = {
        "input": X, "target": X.clone(), "third": third(name), "weight": None, "mask": None, "divisor": None,
        "params": parameters(names), "reduction": 1, "empty_zero": False, "loss_dtype": 6, "want_stats": False,
        "grad_input": torch.empty(4, 6), "grad_target": None, "grad_third": None, **changed,
    }  # fmt: skip
    return _ops.POINTWISE[name].forward_out(*arguments.values())


SHARED = torch.rand(4, 6)
BAD_POINTS = [
    {"loss_dtype": 6 + 2**32}, {"loss_dtype": 3}, {"loss_dtype": -1}, {"reduction": 0}, {"reduction": 3},
    {"reduction": 1 + 2**32}, {"params": [1.0] * 9}, {"input": X.long()}, {"input": X.to(torch.complex64)},
    {"target": X.to(torch.complex64)}, {"target": X[:3]}, {"target": X[0]}, {"weight": X[:1, :1]}, {"mask": X},
    {"divisor": torch.ones(())}, {"divisor": torch.ones(2, dtype=torch.float64)},
    {"grad_input": torch.empty(4, 6, dtype=torch.float64)}, {"grad_input": torch.empty(4, 5)}, {"grad_input": X},
    {"grad_input": torch.empty(1, 6).expand(4, 6)}, {"grad_input": SHARED, "grad_target": SHARED},
    {"input": torch.rand(0, 6)},
]  # fmt: skip


@pytest.mark.parametrize(("name", "names"), [*losses("pointwise"), *losses("pairs")])
@pytest.mark.parametrize("changed", BAD_POINTS, ids="-".join)
def test_points_refuse(name, names, changed):
    points(name, names)
    with pytest.raises((RuntimeError, NotImplementedError, ValueError)):
        points(name, names, **changed)


def rows(name, names, **changed):
    arguments = {
        "input": X, "target": torch.arange(4), "weight": None, "mask": None, "normalizer": None,
        "params": parameters(names), "ignore_index": -100, "reduction": 1, "label_smoothing": 0.0, "z_loss": 0.0,
        "softcap": 0.0, "empty_zero": False, "loss_dtype": 6, "want_stats": False, "gradient": torch.empty(4, 6),
        **changed,
    }  # fmt: skip
    return _ops.ROWS[name].forward_out(*arguments.values())


BAD_ROWS = [
    {"loss_dtype": 6 + 2**32}, {"loss_dtype": 3}, {"reduction": 0}, {"reduction": 3}, {"params": [1.0] * 9},
    {"input": X.long()}, {"input": torch.tensor(1.0)}, {"target": torch.arange(3)}, {"target": torch.arange(4).int()},
    {"target": torch.full((4,), 6)}, {"target": X.double()}, {"target": X[:3]}, {"target": X > 0},
    {"weight": torch.ones(5)}, {"weight": torch.ones(2, 3)}, {"mask": torch.ones(4)},
    {"mask": torch.ones(3, dtype=torch.bool)}, {"normalizer": torch.ones(())},
    {"gradient": torch.empty(4, 5)}, {"gradient": torch.empty(4, 6).double()},
    {"target": SHARED, "gradient": SHARED},
]  # fmt: skip


@pytest.mark.parametrize(("name", "names"), losses("rows"))
@pytest.mark.parametrize("changed", BAD_ROWS, ids="-".join)
def test_rows_refuse(name, names, changed):
    rows(name, names)
    with pytest.raises((RuntimeError, NotImplementedError, ValueError)):
        rows(name, names, **changed)
