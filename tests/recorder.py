"""What operators of ours a call reaches, for `torch.library.opcheck`."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

OPERATORS = ("", "_out", "_backward", "_backward_out")


def recorded_calls(call):
    """The fastloss operators that ``call`` dispatches, with their arguments."""
    calls = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func.namespace == "fastloss":
                copies = [a.detach().clone() if isinstance(a, torch.Tensor) else a for a in args]
                calls.append((func, copies, dict(kwargs or {})))
            return func(*args, **(kwargs or {}))

    with Recorder():
        call()
    # The form that allocates its results is called only inside compiled graphs.
    for op, args, kwargs in list(calls):
        if op._schema.name.endswith("_backward_out"):
            functional = getattr(torch.ops.fastloss, op._schema.name.split("::")[1].removesuffix("_out"))
            outputs = sum(a.alias_info is not None for a in op._schema.arguments)
            wanted = [output is not None for output in args[-outputs:]]
            calls.append((functional.default, [*args[:-outputs], *wanted], kwargs))
    return calls
