"""Whether CUDA kernels may be used on a device: their code runs there, and gave right numbers once.

The first call of an engine and dtype asks `fastloss._selftest.brief`, and a file in the user's cache keeps the answer
for the device, the driver and the build. ``FASTLOSS_SELFTEST=0`` uses kernels unasked. An answer once found is a look
into a set.

Note [When nothing is asked]
A check computes, waits for the device and takes memory. So calls that a trace or a capture records go by what is
known, and otherwise use the kernels. So do calls within a backward: the check has a backward of its own, for which
the device's one thread of backward would have to be free. The check runs in a thread of its own, since autocast,
transforms, modes that stand for tensors, hooks, streams and the mode of gradients belong to the thread of the call.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from fastloss._core import operators as _ops
from fastloss._core._torch import constant_in_graphs, in_backward
from fastloss._version import __version__

Key = tuple[str, torch.dtype, int]

DEVICE = "cuda"  # the type of device whose kernels are asked; tests say "cpu"

_passed: set[Key] = set()
_refused: dict[Key, str] = {}
_lock = threading.Lock()
_here = threading.local()  # unchecked: whether this thread's calls use kernels unasked


def passed(engine: str, tensor: Tensor) -> bool:
    """Whether an engine's kernels may read a CUDA tensor without a further question."""
    return (engine, tensor.dtype, tensor.get_device()) in _passed


def why_not(engine: str, tensor: Tensor) -> str:
    """What keeps an engine's kernels from a CUDA tensor; empty if nothing does."""
    if torch.compiler.is_compiling():
        return _known(engine, tensor.dtype, tensor.get_device())
    index = tensor.get_device()
    key = engine, tensor.dtype, index
    if key in _passed:
        return ""
    real = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.dtype in _ops.DTYPE_CODES
    if not real or getattr(_here, "unchecked", False):
        return ""
    if in_backward() or _capturing() or (index >= 0 and why_device_not(index)):
        return _known(*key)
    with _lock:
        if key not in _passed and key not in _refused and not _recall(key):
            found = "" if os.environ.get("FASTLOSS_SELFTEST") == "0" else _check(key)
            if found is None:
                _passed.add(key)
            else:
                _settle(key, found, os.environ.get("FASTLOSS_SELFTEST") != "0")
        return _refused.get(key, "")


def _capturing() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


@constant_in_graphs
def _known(engine: str, dtype: torch.dtype, index: int) -> str:
    """The same without a check."""
    key = engine, dtype, index
    if index >= 0 and (reason := why_device_not(index)):
        return reason
    if key not in _passed and key not in _refused:
        _recall(key)
    return _refused.get(key, "")


def _check(key: Key) -> str | None:
    """What is wrong with an engine; empty if nothing is, None if nobody could tell."""
    from fastloss import _selftest

    engine, dtype, index = key
    found: list[str | None] = []

    def run() -> None:
        mode = torch.cuda.get_sync_debug_mode() if DEVICE == "cuda" else 0
        try:
            if mode:
                torch.cuda.set_sync_debug_mode(0)
            with unchecked():
                found.append(_selftest.brief(engine, dtype, torch.device(DEVICE, index) if index >= 0 else _CPU))
        except Exception as error:  # out of memory, say; only the device's own errors speak against a kernel
            found.append(f"{error}" if "CUDA error" in str(error) or "fastloss: CUDA" in str(error) else None)
        finally:
            if mode:
                torch.cuda.set_sync_debug_mode(mode)

    thread = threading.Thread(target=run, name="fastloss.selftest")
    thread.start()
    thread.join()
    return found[0]


_CPU = torch.device("cpu")


@contextmanager
def unchecked() -> Iterator[None]:
    """Within it this thread's calls use kernels unasked."""
    before = getattr(_here, "unchecked", False)
    _here.unchecked = True
    try:
        yield
    finally:
        _here.unchecked = before


def settle(engine: str, dtype: torch.dtype, index: int, wrong: str) -> None:
    """Takes and keeps an answer."""
    with _lock:
        _settle((engine, dtype, index), wrong, True)


def _settle(key: Key, wrong: str, keep: bool) -> None:
    if keep:
        _write(key, wrong)
    _take(key, wrong)


def _take(key: Key, wrong: str) -> None:
    engine, dtype, _ = key
    if not wrong:
        _refused.pop(key, None)
        _passed.add(key)
        return
    _passed.discard(key)
    _refused[key] = f"the {engine} kernels for {str(dtype)[6:]} are wrong on this device: {wrong}"
    warnings.warn(
        f"fastloss: {_refused[key]}. Such calls run in plain PyTorch. Remedy: `python -m fastloss selftest --device "
        f"{DEVICE}` checks all kernels, FASTLOSS_SELFTEST=0 uses them unchecked",
        RuntimeWarning,
        stacklevel=2,
    )


# ------------------------------------------------------------------------------------------------- the user's cache


def _folder() -> Path:
    """Where the answers for one device, driver and build lie. Raises RuntimeError where the user has no home."""
    base = os.environ.get("XDG_CACHE_HOME") or (
        os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else Path.home() / ".cache"
    )
    return Path(base or Path.home()) / "fastloss" / "selftest"


def _file(key: Key) -> Path:
    engine, dtype, index = key
    return _folder() / _identity(index) / f"{engine}-{str(dtype)[6:]}.json"


@functools.cache
def _identity(index: int) -> str:
    """A name for the device, its driver, the library and PyTorch, whose products one engine uses."""
    release = Path("/proc/driver/nvidia/version")
    facts = (
        torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index),
        _library().fastloss_cuda_driver(),
        release.read_text() if release.exists() else "", torch.__version__, __version__,
    )  # fmt: skip
    made = hashlib.blake2b(repr(facts).encode(), digest_size=16)
    made.update(_ops.CUDA_LIBRARY.read_bytes())
    return made.hexdigest()


def _recall(key: Key) -> bool:
    """Takes the answer that a file holds; False if there is none that can be read."""
    if os.environ.get("FASTLOSS_SELFTEST") == "0":
        return False
    try:
        wrong = json.loads(_file(key).read_text())["wrong"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return False
    if not isinstance(wrong, str):
        return False
    _take(key, wrong)
    return True


def _write(key: Key, wrong: str) -> None:
    """Whole or not at all, since processes may do it at once; not at all where the folder cannot be written."""
    try:
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".tmp", delete=False) as made:
            json.dump({"wrong": wrong}, made)
        os.replace(made.name, file)
    except (OSError, RuntimeError):
        pass


# ------------------------------------------------------------------------------------------------------- the device


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(_ops.CUDA_LIBRARY))


@functools.cache
def why_device_not(index: int) -> str:
    """What keeps all kernels from a CUDA device; empty if their code runs there."""
    if not torch.cuda.is_available():
        return ""  # fake tensors alone
    ask = _library().fastloss_cuda_why_not
    ask.restype = ctypes.c_char_p
    reason = ask(index)
    if not reason:
        return ""
    major, minor = torch.cuda.get_device_capability(index)
    return (
        f"the CUDA kernels do not run on {torch.cuda.get_device_name(index)} (compute capability {major}.{minor}) with "
        f"this driver: {reason.decode()}; remedy: build with FASTLOSS_CUDA_ARCHS={major}{minor}, or update the driver"
    )
