"""The CUDA kernels of fastloss, which finds them here."""

from importlib.metadata import version

__version__ = version("fastloss-cuda")
