"""The libraries whose losses ours are compared with, of `make peers`. A test that asks for an absent one is skipped."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import pytest


def leaf_module(name, *packages):
    """Imports one module of a library without the __init__ of ``packages``, which want much more than a loss does."""
    top = name.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        pytest.skip(f"{top} is not installed (make peers)")
    before = dict(sys.modules)
    try:
        for package in (top, *packages):
            module = types.ModuleType(package)
            module.__path__ = [str(Path(spec.origin).parent.joinpath(*package.split(".")[1:]))]
            sys.modules[package] = module
        return importlib.import_module(name)
    finally:
        for added in list(sys.modules):
            if added.partition(".")[0] == top:
                del sys.modules[added]
        sys.modules |= {name: module for name, module in before.items() if name.partition(".")[0] == top}


def open_clip():
    return leaf_module("open_clip.loss")


def lightly(name):
    packages = ("lightly.loss", "lightly.utils", "lightly.models", "lightly.models.modules", "lightly.models.utils")
    return leaf_module(f"lightly.loss.{name}", *packages)


def metric_learning():
    return pytest.importorskip("pytorch_metric_learning.losses", reason="it is not installed (make peers)")
