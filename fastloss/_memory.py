"""Memory for gradients."""

from __future__ import annotations

import torch
from torch import Tensor


def empty_like(tensor: Tensor) -> Tensor:
    """`torch.empty_like`."""
    return torch.empty_like(tensor)
