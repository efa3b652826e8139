"""What operators of ours a call reaches, for `torch.library.opcheck`."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

OPERATORS = ("", "_backward")


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
    return calls
