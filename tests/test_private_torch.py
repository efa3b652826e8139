"""Without any one private name of PyTorch fastloss may be slower, never wrong."""

import cases
import pytest

from fastloss._core import operators as _ops

# A process that has imported PyTorch forks once per name. The child imports fastloss as if PyTorch lacked that name.
PROGRAM = """
import functools, os, tempfile, warnings
import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
torch.func.jvp(torch.func.vmap(torch.func.grad(torch.sum)), (torch.ones(2, 3),), (torch.ones(2, 3),))  # slow imports


def without(missing):
    find = functools.reduce

    def reduce(function, parts, root):
        if ".".join(parts) == missing:
            raise AttributeError(missing)
        return find(function, parts, root)

    functools.reduce = reduce
    import fastloss
    from fastloss._core import _torch

    functools.reduce = find
    assert _torch.MISSING == ([missing] if missing else []), _torch.MISSING
    return _torch.NAMES, measured(fastloss.functional)


def measured(f):
    torch.manual_seed(0)
    x, y = torch.randn(300, 40, requires_grad=True), torch.randn(300, 40)
    index, labels = torch.randint(40, (300,)), torch.arange(300) % 7
    calls = {
        "huber": lambda x: f.huber_loss(x, y),
        "triplet": lambda x: f.triplet_margin_loss(x, y, y.flip(0)),
        "cross entropy": lambda x: f.cross_entropy(x, index),
        "clip": lambda x: f.clip_loss(x, y, 2.0),
        "supcon": lambda x: f.supcon_loss(x, labels),
        # So small that PyTorch's own operator is faster.
        "tiny huber": lambda x: f.huber_loss(x[:2], y[:2]),
        "tiny smooth l1": lambda x: f.smooth_l1_loss(x[:2], y[:2]),
        "tiny mse": lambda x: f.mse_loss(x[:2], y[:2]),
        "tiny l1": lambda x: f.l1_loss(x[:2], y[:2]),
        "tiny soft margin": lambda x: f.soft_margin_loss(x[0], y[0].sign()),
        "tiny bce": lambda x: f.binary_cross_entropy(x[:2].sigmoid(), y[:2].sigmoid()),
        "tiny cross entropy": lambda x: f.cross_entropy(x[:2], index[:2]),
    }
    found = {}
    for name, call in calls.items():
        hooked = []
        loss = call(x)
        loss.grad_fn.register_hook(lambda *_: hooked.append(name))
        (found[name],) = torch.autograd.grad(loss, x)
        assert hooked == [name]
        (grad,) = torch.autograd.grad(call(x), x, create_graph=True)
        found[name + " twice"] = torch.autograd.grad((grad * y).sum(), x, materialize_grads=True)[0]
        found[name + " vmap"] = torch.func.vmap(torch.func.grad(call))(torch.stack((x.detach(), y)))
        found[name + " jvp"] = torch.func.jvp(call, (x.detach(),), (y,))[1]
        found[name + " batched"] = torch.autograd.grad(call(x), x, torch.tensor([1.0, -2.0]), is_grads_batched=True)[0]
    return found


def in_child(missing):
    with tempfile.NamedTemporaryFile() as file:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                torch.save(without(missing), file.name)
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0, f"without {missing}"
        return torch.load(file.name)


names, wanted = in_child(None)
for missing in names:
    _, found = in_child(missing)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], msg=lambda text: f"{name} without {missing}: {text}")
    print("right without", missing, flush=True)
"""


@pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")
def test_missing_names():
    from fastloss._core import _torch

    found = cases.python(PROGRAM)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("right without") == len(_torch.NAMES) > 10
