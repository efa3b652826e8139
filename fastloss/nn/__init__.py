"""Losses as modules, one file per kernel family. Constructors follow `torch.nn`."""

from fastloss.nn.rows import CrossEntropyLoss

__all__ = ["CrossEntropyLoss"]
