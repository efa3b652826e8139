"""Every private name of PyTorch that fastloss uses, and what takes its place in a release that lacks it.

A name that vanished must make fastloss slower, never wrong. So a guard whose name is missing answers "yes" and sends
every call to plain PyTorch; a shortcut whose name is missing is not taken. `NAMES` lists the names. `MISSING` lists
those that this PyTorch lacks, and ``python -m fastloss`` prints them.
"""

from __future__ import annotations

import collections
import functools
import types
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

# PyTorch's own functions, whatever stands in `torch.nn.functional` later (`fastloss.patch`).
F: Any = types.ModuleType("torch.nn.functional")
vars(F).update(vars(torch.nn.functional))

NAMES: list[str] = []
MISSING: list[str] = []


@functools.cache
def _find(path: str) -> Any:
    """The object that ``path`` names below `torch`; None, and an entry in `MISSING`, if there is none."""
    NAMES.append(path)
    try:
        return functools.reduce(getattr, path.split("."), torch)
    except AttributeError:
        MISSING.append(path)
        return None


# At its bound `torch.clamp_min` has slope 1, from release 2.15 on 0. Kernels and formulas (`above_zero`) have 1 always.
CLAMPS_ALIKE: bool = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 15)


def _yes(*_: Any) -> bool:
    return True


# Guards. The kernels know nothing of functorch's transforms, of forward-mode AD and of batched gradients.

transforms_active: Callable[[], bool] = _find("_C._are_functorch_transforms_active") or _yes

if _find("autograd.forward_ad._current_level") is None:
    forward_mode_active: Callable[[], bool] = _yes
else:

    def forward_mode_active() -> bool:
        """Whether a level of forward-mode AD is open."""
        return forward_ad._current_level >= 0


# None unless torch.jit.trace is recording. The public question has a Python layer.
tracing_state: Callable[[], Any] = _find("_C._get_tracing_state") or (
    lambda: torch.jit.is_tracing() or None  # type: ignore[attr-defined]
)

_graph_task = _find("_C._current_graph_task_id")


def in_backward() -> bool:
    """Whether this thread runs a backward; what waits in it for another thread's backward may wait for ever."""
    return _graph_task is None or _graph_task() != -1


_is_legacy_batched = _find("_C._functorch.is_legacy_batchedtensor") or _yes
_is_wrapped = _find("_C._functorch.is_functorch_wrapped_tensor") or _yes


def is_batched(grad_output: Tensor) -> bool:
    """Whether many upstream gradients come as one tensor: ``is_grads_batched``, and vmap of a backward.

    The question takes a tenth of the time of a small backward, so only a failing kernel leads to it.
    """
    return _is_legacy_batched(grad_output) or _is_wrapped(grad_output)


# Without it a fake tensor counts as a subclass with a meaning of its own, which plain PyTorch takes.
FakeTensor: Any = _find("_subclasses.FakeTensor") or ()


# Without these, inplace=True does not notice some other uses of the logits.


def base_of(tensor: Tensor) -> Tensor | None:
    """The tensor that this one is a view of."""
    return getattr(tensor, "_base", None)


def hooks_of(tensor: Tensor) -> Any:
    """The hooks on the tensor's gradient; None or empty if there are none."""
    return getattr(tensor, "_backward_hooks", True)


# Shortcuts.


def native_operator(name: str) -> Callable[..., Tensor] | None:
    """PyTorch's operator below ``torch.nn.functional.<name>``, without its Python layer; None if there is none."""
    return _find(f"_C._nn.{name}")


# DLPack's table of C functions. Without it no call is known as tiny before the general way looks at it.
exchange_table: Any = _find("Tensor.__dlpack_c_exchange_api__")

# The public function also takes objects; ours is a capsule.
from_dlpack: Callable[[Any], Tensor] = _find("_C._from_dlpack") or torch.utils.dlpack.from_dlpack

# Releases with which the tests of hooks, transforms and second derivatives have passed by way of `past_python`.
_TESTED = ("2.10", "2.11", "2.13", "2.14", "2.15")
_passes_python = _find("_C._FunctionBase.apply") is not None and torch.__version__.startswith(
    tuple(f"{release}." for release in _TESTED)
)


def past_python(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """``function.apply`` without its Python layer, which takes 2 us, and 18 from cold caches, as in a training step.

    That layer looks for ``setup_context``, which our functions do not have, and for functorch transforms, which the
    callers' guards keep away. TorchDynamo only knows ``apply`` itself. Backward loses a layer too: it asks whether
    ``vjp`` is overridden, which takes 16 us from cold caches.
    """
    node = getattr(function, "_backward_cls", None)
    if not _passes_python or node is None:
        return function.apply
    node.apply = function.backward
    return super(torch.autograd.Function, function).apply  # type: ignore[misc]


_Function = TypeVar("_Function", bound=Callable[..., Any])


def constant_in_graphs(function: _Function) -> _Function:
    """Has TorchDynamo call a function of constants, and take the result for one more.

    So does `torch.compiler.assume_constant_result`, which imports TorchDynamo for it.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


# Operators of many tensors at once; without one of them, one tensor after the other.
foreach: Any = types.SimpleNamespace(
    **{name: _find(f"_foreach_{name}") for name in ("add_", "mul", "mul_", "norm", "sign", "sub")}
)
FOREACH: bool = None not in vars(foreach).values()

# What the adaptive softmax returns.
AdaptiveOutput: Any = _find("nn.modules.adaptive._ASMoutput") or collections.namedtuple("AdaptiveOutput", "output loss")

_resolve_group = (
    _find("distributed.distributed_c10d._resolve_process_group") if torch.distributed.is_available() else None
)


def process_group(name: str) -> Any:
    """The process group of this name, as `torch.compile` passes groups to operators."""
    if _resolve_group is not None:
        return _resolve_group(name)
    world = torch.distributed.group.WORLD
    if world is not None and world.group_name == name:
        return world
    raise RuntimeError(
        f"fastloss: this PyTorch ({torch.__version__}) does not tell which process group is {name!r}; expected group= "
        "to be torch.distributed.group.WORLD under torch.compile, or a call outside of it"
    )
