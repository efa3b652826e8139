"""A pytest plugin: puts the emulated CUDA operators, built by test_cuda_operators.py, in the place of the CPU's."""

import os

import torch

import fastloss.engines.elements as points_module
import fastloss.engines.softmax as rows_module
from fastloss._core import operators as _ops
from fastloss.engines.similarity import plan, strips

torch.ops.load_library(os.environ["FASTLOSS_EMULATED_CUDA"])
rows_module.TINY = -1
points_module.NATIVE_WHEN_TINY = False
plan.is_small = lambda *_: False  # similarity_whole is the CPU's alone
strips._pads = lambda _: True


def _take_nothing(call, begin, end, about, columns):
    """On CUDA positives stay in the product; what they would be added to starts at zero here."""
    if call.gradients[0] is None:
        call.gradients[0] = columns.new_zeros(call.n, columns.shape[1], dtype=_ops.compute_dtype(columns.dtype))


plan.Plan.take_positives = _take_nothing
