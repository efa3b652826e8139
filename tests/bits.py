"""Hashes of every loss and gradient of the case tables: `record FILE` before a change, `compare FILE` after it.

A change that should only move code must leave all of them as they were. Files of different machines do not compare:
matrix products are PyTorch's, and its instruction set is not one of ours.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import cases
import torch
from torch import Tensor

import fastloss

SIZES = ((3, 5), (7, 33), (300, 257))  # native, one vector and a part of one, several tasks
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def calls() -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Each loss of each setting, size, dtype and reduction: a name, the function, and its arguments."""
    for shape, dtype, reduction in itertools.product(SIZES, DTYPES, cases.REDUCTIONS):
        about = f"{'x'.join(map(str, shape))}-{dtype}-{reduction}".replace("torch.", "")
        flags = torch.arange(shape[0]) % 3 != 0
        for case in cases.EVERY:
            for k, params in enumerate(case.settings):
                made = {**case.make(shape, params, dtype), "reduction": reduction}
                if case.engine == "softmax":
                    made["target"].requires_grad_(False)
                if case.engine == "elements":  # at the ends of what they hold, too
                    made.update(case.named(case.tensors(shape, dtype)))
                name = f"{case}-{k}-{about}"
                if case.engine == "softmax":
                    name = f"{case}-{k // 2}-{params['kind']}-{about}"
                yield name, case.functional, made
                if case.engine in ("softmax", "elements"):
                    mask = flags.unsqueeze(1) if case.engine == "elements" else flags
                    yield f"{name}-mask", case.functional, {**made, "mask": mask}


def digest(tensors: list[Tensor]) -> str:
    code = hashlib.sha1()
    for t in tensors:
        code.update(f"{t.dtype}{tuple(t.shape)}".encode())
        code.update(t.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return code.hexdigest()[:16]


def outcome(function: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """The hash of loss and gradients, or the type of the error."""
    leaves = [t for t in arguments.values() if isinstance(t, Tensor) and t.requires_grad]
    try:
        loss = function(**arguments)
        upstream = torch.linspace(0.5, 2, max(loss.numel(), 1), dtype=torch.float64)[: loss.numel()]
        grads = torch.autograd.grad(loss, leaves, upstream.reshape(loss.shape).to(loss.dtype), materialize_grads=True)
        return digest([loss, *grads])
    except Exception as error:
        return type(error).__name__


def bits() -> dict[str, str]:
    from rich.progress import track

    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    found = {}
    everything = list(calls())
    for isa in fastloss.isa.available():
        with fastloss.isa.use(isa):
            for name, function, arguments in track(everything, isa):
                found[f"{isa}-{name}"] = outcome(function, arguments)
    return found


def main() -> None:
    command, path = sys.argv[1:]
    now = bits()
    if command == "record":
        with open(path, "w") as file:
            json.dump(now, file)
        print(f"{len(now)} recorded")
        return
    with open(path) as file:
        before = json.load(file)
    changed = [name for name in before if before[name] != now.get(name)]
    for name in changed[:50]:
        print(name, before[name], now.get(name))
    print(f"{len(before)} compared, {len(changed)} differ, {len(now.keys() - before.keys())} are new")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
