"""Fixtures: two threads, and every numeric test once per instruction set of this machine."""

import gc
import os
import sys
import types
import unittest
import warnings
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # `benchmarks` lies there. An installed fastloss comes first.

# Idle threads sleep: a spinning one takes the core of a process beside this one (read when torch is loaded).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", RuntimeWarning)  # test_fallback.py checks the one about a missing extension
    import fastloss

import cases

import fastloss.engines.elements as elements_module
import fastloss.engines.softmax as rows_module
from fastloss.engines.similarity import plan, strips


def _apart_from_isa(item):
    """What the tests have in common that differ in their instruction set alone."""
    parameters = getattr(item, "callspec", None)
    others = {k: id(v) for k, v in parameters.params.items() if k != "isa"} if parameters else {}
    return item.path, item.originalname, tuple(others.items())


def _is_of_another_isa(item):
    """Of avx512_bf16 all kernels but those of bfloat16 are those of avx512."""
    parameters = getattr(item, "callspec", None)
    given = parameters.params if parameters else {}
    return given.get("isa") == "avx512_bf16" and given.get("dtype", torch.bfloat16) != torch.bfloat16


def pytest_collection_modifyitems(items):
    """The instruction sets of a test one after the other: `cases.remembered` has what the first one computed."""
    first = {}
    for position, item in enumerate(items):
        first.setdefault(_apart_from_isa(item), position)
    items.sort(key=lambda item: first[_apart_from_isa(item)])
    items[:] = [item for item in items if not _is_of_another_isa(item)]


_current = None


@pytest.fixture(autouse=True)
def _settings(request):
    global _current
    if _current != (here := _apart_from_isa(request.node)):
        _current = here
        cases.REMEMBERED.clear()
    torch.set_num_threads(2)
    torch.manual_seed(0)


@pytest.fixture
def young_garbage():
    """Lets `gc.collect` look at what the test has made alone: all that a long session holds takes it half a second."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def kernel(monkeypatch):
    """Sends tiny inputs to our kernels too, which in use go to PyTorch's own operator."""
    monkeypatch.setattr(rows_module, "TINY", -1)
    monkeypatch.setattr(elements_module, "NATIVE_WHEN_TINY", False)


@pytest.fixture(params=fastloss.isa.available() or ["none"])
def isa(request, kernel):
    """The name of the instruction set in force: each one this machine has, "none" without the extension."""
    if request.param == "none":
        yield request.param
        return
    with fastloss.isa.use(request.param):
        yield request.param


ALWAYS_PAIRS, NEVER_PAIRS = 1, 1 << 60  # of plan._PRODUCT_PAIRS


@pytest.fixture
def route(monkeypatch):
    """Sends problems of all pairs the named way (`Case.ways`); returns the options that it needs.

    The strips of a classifier's logits likewise. On one thread: for problems this small a second one costs more than it
    brings. Gradients of triplets come from products where strips are kept, from pairs where they are made twice.
    """
    is_small, strip_rows, strip_bytes = plan.is_small, strips._MIN_STRIP_ROWS, strips._STRIP_BYTES
    product_pairs = plan._PRODUCT_PAIRS

    def choose(name):
        if name == "as used":
            return {}
        torch.set_num_threads(1)
        monkeypatch.setattr(plan, "is_small", is_small if name == "small" else lambda *_: False)
        monkeypatch.setattr(strips, "_MIN_STRIP_ROWS", 8 if "strips" in name else strip_rows)
        monkeypatch.setattr(strips, "_STRIP_BYTES", 1 if "strips" in name else strip_bytes)
        by = {"strips kept": NEVER_PAIRS, "strips twice": ALWAYS_PAIRS}.get(name, product_pairs)
        monkeypatch.setattr(plan, "_PRODUCT_PAIRS", by)
        return {"memory_budget": 1} if name == "strips twice" else {}

    return choose


@pytest.fixture(scope="session")
def torch_tables():
    """PyTorch's own test tables. They subclass `expecttest.TestCase`, which nothing here needs."""
    if "expecttest" not in sys.modules:
        stub = types.ModuleType("expecttest")
        stub.TestCase, stub.ACCEPT = unittest.TestCase, False
        sys.modules["expecttest"] = stub
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal import common_methods_invocations, common_modules
    return common_methods_invocations.op_db, common_modules.module_db
