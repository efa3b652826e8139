"""torch.export with a batch of any size: no loss may make a number of a symbolic one."""

import pytest
import torch
from cases import EVERY
from torch.export import Dim, export
from torch.testing import assert_close

ROWS = 9


class Model(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, arguments):
        return self.function(**arguments)


def shapes(case, arguments):
    batch_size = Dim("batch_size", min=2, max=1 << 24)  # exported for all of these, or not at all

    def batch(name, value):
        if not isinstance(value, torch.Tensor) or value.dim() == 0 or name in case.record.buffers:  # of classes
            return None
        return {0: batch_size if len(value) == ROWS else Dim.DYNAMIC}

    return {name: batch(name, value) for name, value in arguments.items()}


@pytest.mark.filterwarnings("ignore:reduction. 'mean'")  # of kl_div
@pytest.mark.parametrize("strict", [False, True], ids=["traced", "strict"])
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_batch_is_dynamic(case, strict):
    model = Model(case.functional)
    given = case.make((ROWS, 20), case.params[0])
    program = export(model, (given,), dynamic_shapes=(shapes(case, given),), strict=strict).module()
    for n in (ROWS, 50):
        given = case.make((n, 20), case.params[0])
        assert_close(program(given), model(given))


@pytest.mark.filterwarnings("ignore:reduction. 'mean'")  # of kl_div
@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_half_is_one_graph(case, autocast, monkeypatch):
    """A call asks nothing that torch.compile of an older torch cannot trace: whether a device has autocast."""
    monkeypatch.delattr(torch.amp, "is_autocast_available")
    torch._dynamo.reset()
    model = Model(case.functional)
    given = torch.utils._pytree.tree_map_only(
        torch.Tensor,
        lambda t: t.detach().bfloat16() if t.is_floating_point() else t,
        case.make((ROWS, 20), case.params[0]),
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        wanted = model(given)
        got = torch.compile(model, fullgraph=True, backend="eager")(given)
    assert_close(got, wanted)
