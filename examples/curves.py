"""What the examples share: a training loop, and the comparison of two loss curves."""

from collections.abc import Callable
from typing import Any

import torch


def train(model: torch.nn.Module, loss: Callable[[], Any], steps: int = 30) -> list[float]:
    """Trains with Adam; the loss of each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    curve = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        curve.append(value.item())
    return curve


def same(native: list[float], ours: list[float]) -> None:
    """Asserts that a curve falls and that the other one is the same, up to float32's rounding, and prints both."""
    assert native[-1] < native[0]
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(native), rtol=1e-3, atol=1e-4)
    for step in range(0, len(native), max(1, len(native) // 5)):
        print(f"step {step:3}  native {native[step]:.5f}  fastloss {ours[step]:.5f}")
