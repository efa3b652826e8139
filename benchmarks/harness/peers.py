"""Other people's CUDA losses, measured where they are installed and cover the row."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .suites import Row

Call = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Peer:
    """A published loss.

    Attributes:
        module: Where ``attribute`` is imported from.
        adapt: Turns the imported object into a ``call(input, target)`` that gives the mean.
        overwrites: Writes the gradient over the logits.
        dtypes: Those it accepts.
    """

    name: str
    loss: str
    module: str
    attribute: str
    adapt: Callable[[Any], Call]
    overwrites: bool = False
    dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16")

    @property
    def call(self) -> Call:
        return self.adapt(getattr(importlib.import_module(self.module), self.attribute))

    def covers(self, row: Row) -> bool:
        plain = row.layout == "contiguous" and row.target == "indices" and not row.options and not row.ignored
        return plain and row.loss == self.loss and len(row.shape) == 2 and row.dtype in self.dtypes


PEERS = (
    Peer(
        "Liger",
        "cross_entropy",
        "liger_kernel.transformers.functional",
        "liger_cross_entropy",
        lambda f: lambda x, y: f(x, y),
        overwrites=True,
    ),
    Peer("quack", "cross_entropy", "quack.cross_entropy", "cross_entropy", lambda f: lambda x, y: f(x, y)),
    Peer(
        "flash-attn",
        "cross_entropy",
        "flash_attn.ops.triton.cross_entropy",
        "cross_entropy_loss",
        lambda f: lambda x, y: f(x, y)[0].mean(),
    ),
    # padding_idx is apex's ignore_index and 0 by default; bfloat16 fails in its backward (apex#1790).
    Peer(
        "apex",
        "cross_entropy",
        "apex.contrib.xentropy",
        "SoftmaxCrossEntropyLoss",
        lambda f: lambda x, y: f.apply(x, y, 0.0, -100).mean(),
        overwrites=True,
        dtypes=("float32", "float16"),
    ),
)


@functools.cache
def _imports(peer: Peer) -> bool:
    """Tried once: a failing import can take seconds."""
    try:
        _ = peer.call
    except Exception as error:  # a peer built for another torch or GPU can fail with anything
        if importlib.util.find_spec(peer.module.partition(".")[0]):
            print(f"{peer.name} is installed but does not import: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def importable(row: Row) -> list[Peer]:
    """The peers that cover the row and import here."""
    return [peer for peer in PEERS if peer.covers(row) and _imports(peer)]
