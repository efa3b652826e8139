"""The module of every loss: its constructor, calls, copies, pickles, `repr`, and options given either way."""

import copy
import functools
import inspect
import pickle

import cases
import pytest
import torch
from cases import EVERY, LINEAR, SIMILARITY

import fastloss

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
BARE = [case for case in EVERY if case.bare]  # LinearCrossEntropyLoss: engines/linear


@pytest.mark.parametrize(("case", "params"), cases.settings(BARE))
def test_module(case, params, kernel):
    arguments = {k: v for k, v in case.make((14, 6), params).items() if v is not None}
    takes = inspect.signature(case.module).parameters
    kept = ("temperature", *case.record.buffers)
    own = {k: v for k, v in arguments.items() if k in takes and (k in kept or not isinstance(v, torch.Tensor))}
    own |= {"temperature": 0.3} if "temperature" in own else {}
    own |= {k: v for k, v in case.needed(arguments).items() if k not in arguments}
    tensors = {k: v for k, v in arguments.items() if k not in own}
    # Names of PyTorch's modules may be others (`log_input`).
    given, named = ((), tensors) if case in (*SIMILARITY, *LINEAR) else (tensors.values(), {})
    wanted = case.functional(**tensors, **own, reduction="sum", loss_dtype=torch.float64)
    module = case.module(**own, reduction="sum", loss_dtype=torch.float64)
    assert isinstance(module, torch.nn.Module)
    assert not list(module.parameters())
    for twin in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(twin) == repr(module)
        assert torch.equal(twin(*given, **named), wanted)
    for name, value in {**own, "reduction": "sum", "loss_dtype": torch.float64}.items():
        assert case.drop_in or f"{name}={value}" in repr(module)
    # Options in the call win.
    mean = case.functional(**tensors, **own, loss_dtype=torch.float64, reduction="mean")
    assert torch.equal(module(*given, **named, reduction="mean"), mean)
    assert fastloss.explain(module, *given, **named).path == fastloss.explain(case.functional, **tensors, **own).path


@pytest.mark.parametrize("case", BARE, ids=str)
def test_options_and_class(case, kernel):
    arguments = case.make((14, 6), {"symmetric": True} if case.name == "info_nce_loss" else {})
    needed = case.needed(arguments)
    tensors = [v for k, v in arguments.items() if k not in ("symmetric", "temperature", *needed)]
    made, function = functools.partial(case.module, **needed), functools.partial(case.functional, **needed)
    assert repr(made()).startswith(case.module.__name__ + "(")
    if case not in SIMILARITY:
        mask = torch.rand(case.extras((14, 6))["mask"].shape) < 0.5
        options = {"reduction": "sum", "mask": mask}
        wanted = function(*tensors, **options)
        torch.testing.assert_close(made(reduction="sum")(*tensors, mask=mask), wanted)
        torch.testing.assert_close(made(empty="zero")(*tensors, mask=mask & False), torch.tensor(0.0))
    if case.drop_in:
        module, native = case.module(), case.native_module()
        assert isinstance(module, case.native_module)
        assert module.state_dict().keys() == native.state_dict().keys()
        assert repr(module) == repr(native)
    for name in needed:
        with pytest.raises(TypeError, match=f"missing argument .*{name}"):
            case.module()
    for call in (lambda: made(nonsense=1), lambda: made()(*tensors, nonsense=1)):
        with pytest.raises(TypeError, match="nonsense"):
            call()


# The way from a module to its function depends on no more than this.
OF_EACH_KIND = {(case.engine, case.drop_in): case for case in BARE}.values()


@pytest.mark.parametrize("given", [{}, {"loss_dtype": torch.float64}], ids=["plain", "option"])
@pytest.mark.parametrize("case", OF_EACH_KIND, ids=str)
def test_compiled(case, given):
    torch._dynamo.reset()
    arguments = case.make((14, 6))
    needed = case.needed(arguments)
    tensors = {k: v for k, v in arguments.items() if isinstance(v, torch.Tensor) and k not in needed}
    module = case.module(**needed, **given)
    passed = (tensors.values(), {}) if case.drop_in else ((), tensors)
    loss = torch.compile(module, backend="eager", fullgraph=True)(*passed[0], **passed[1])
    torch.testing.assert_close(loss, module(*passed[0], **passed[1]))
