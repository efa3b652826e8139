"""Functional losses, one module per kernel family. Signatures follow `torch.nn.functional`."""

from fastloss.functional.rows import cross_entropy

__all__ = ["cross_entropy"]
