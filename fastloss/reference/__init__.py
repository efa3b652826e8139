"""Every loss again in plain torch: the specification, and the fallback wherever no kernel applies.

The functions here take the arguments of their namesakes in :mod:`fastloss.functional`. They are ordinary
compositions of torch operators: any device and dtype, differentiable to any order and in both modes, and at
home under ``torch.func`` and ``torch.compile``.
"""

from .rows import cross_entropy

__all__ = ["cross_entropy"]
