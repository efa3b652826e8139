"""A pytest plugin: puts the emulated CUDA operators, built by test_cuda_operators.py, in the place of the CPU's."""

import os

import torch

import fastloss.functional.pointwise as pointwise_module
import fastloss.functional.rows as rows_module
from fastloss import _similarity

torch.ops.load_library(os.environ["FASTLOSS_EMULATED_CUDA"])
rows_module.TINY = -1
pointwise_module.NATIVE_WHEN_TINY = False
_similarity._is_small = lambda *_: False  # similarity_whole is the CPU's alone
