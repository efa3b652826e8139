"""What was built, against what, and what of it runs here."""

from __future__ import annotations

import platform

import torch

from fastloss import isa
from fastloss._core import _torch
from fastloss._core import operators as _ops
from fastloss._version import __version__


def build_info() -> dict[str, object]:
    """Versions, compiler, ISAs and devices of this installation; ``python -m fastloss`` prints it.

    Example:
        >>> fastloss.build_info()["fastloss"] == fastloss.__version__
        True
    """
    info: dict[str, object] = {
        "fastloss": __version__,
        "python": platform.python_version(),
        "torch (running)": torch.__version__,
        "extension": "loaded" if _ops.AVAILABLE else f"absent: {_ops.missing_reason()}",
    }
    if _ops.AVAILABLE:
        built = _ops.extension().build()
        info |= {
            "torch (built against)": built["torch"],
            "torch ABI target": built["abi_target"],
            "compiler": built["compiler"],
            "ISAs compiled": isa.compiled(),
            "ISAs available here": isa.available(),
            "ISA active": isa.active(),
            "threads": torch.get_num_threads(),
        }
    if _torch.MISSING:
        info["torch lacks"] = [f"torch.{name}" for name in _torch.MISSING]
    info["CUDA"] = (
        "yes" if _ops.CUDA else f"no: {_ops.missing_cuda_reason()}; CUDA tensors run the plain PyTorch reference"
    )
    return info
