"""torch.export with a batch of any size: no loss may make a number of a symbolic one."""

import pytest
import torch
from cases import CASES, PAIRS, POINTWISE, SIMILARITY, make, make_pairs, make_points, make_similarity
from torch.export import Dim, export
from torch.testing import assert_close

EVERY = [
    *((case, lambda case, n: make((n, 20))) for case in CASES),
    *((case, lambda case, n: make_points(case, (n, 3))) for case in POINTWISE),
    *((case, lambda case, n: make_pairs(case, (n,), 5)) for case in PAIRS),
    *((case, lambda case, n: make_similarity(case, case.params[0], n, 6)) for case in SIMILARITY),
]


ROWS = 9


class Model(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, arguments):
        named = arguments if isinstance(arguments, dict) else {}
        return self.function(*(() if named else arguments), **named)


def shapes(arguments):
    batch_size = Dim("batch_size", min=2, max=1 << 24)  # exported for all of these, or not at all

    def batch(value):
        if not isinstance(value, torch.Tensor) or value.dim() == 0:
            return None
        return {0: batch_size if len(value) == ROWS else Dim.DYNAMIC}

    if isinstance(arguments, dict):
        return {name: batch(value) for name, value in arguments.items()}
    return tuple(batch(value) for value in arguments)


@pytest.mark.filterwarnings("ignore:reduction. 'mean'")  # of kl_div
@pytest.mark.parametrize("strict", [False, True], ids=["traced", "strict"])
@pytest.mark.parametrize(("case", "arguments"), [pytest.param(*every, id=str(every[0])) for every in EVERY])
def test_batch_is_dynamic(case, arguments, strict):
    model = Model(case.functional)
    given = arguments(case, ROWS)
    program = export(model, (given,), dynamic_shapes=(shapes(given),), strict=strict).module()
    for n in (ROWS, 50):
        given = arguments(case, n)
        assert_close(program(given), model(given))


@pytest.mark.filterwarnings("ignore:reduction. 'mean'")  # of kl_div
@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize(("case", "arguments"), [pytest.param(*every, id=str(every[0])) for every in EVERY])
def test_half_is_one_graph(case, arguments, autocast, monkeypatch):
    """A call asks nothing that torch.compile of an older torch cannot trace: whether a device has autocast."""
    monkeypatch.delattr(torch.amp, "is_autocast_available")
    torch._dynamo.reset()
    model = Model(case.functional)
    given = torch.utils._pytree.tree_map_only(
        torch.Tensor, lambda t: t.detach().bfloat16() if t.is_floating_point() else t, arguments(case, ROWS)
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        wanted = model(given)
        got = torch.compile(model, fullgraph=True, backend="eager")(given)
    assert_close(got, wanted)
