"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from typing import Any

import torch

import fastloss


def describe(device: str) -> dict[str, Any]:
    """Hardware, versions and switches; nothing that names a host, a user or a path."""
    about: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "caches": _caches(),
        "threads": torch.get_num_threads(),
        "transparent_hugepages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load_at_start": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "isa": fastloss.isa.active(),
        "fastloss": fastloss.build_info(),
    }
    if device != "cpu":
        gpu = torch.cuda.get_device_properties(device)
        about["gpu"] = gpu.name
        about["gpu_memory_bytes"] = gpu.total_memory
        about["gpu_l2_bytes"] = gpu.L2_cache_size
        about["gpu_compute_capability"] = f"{gpu.major}.{gpu.minor}"
        about["cuda"] = torch.version.cuda
    return about


class OtherPrograms:
    """Watches how busy the rest of the machine is while something is timed (Linux)."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._busy = self._busy_seconds()

    @staticmethod
    def _busy_seconds() -> float | None:
        """Seconds all cores have spent on anything but this process."""
        total = _read("/proc/stat")
        if total is None:
            return None
        user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, total.split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()

    def cores(self) -> float | None:
        """How many cores the others have kept busy on average so far."""
        now = self._busy_seconds()
        if now is None or self._busy is None:
            return None
        return max(0.0, (now - self._busy) / (time.perf_counter() - self._start))


def summary(about: dict[str, Any]) -> str:
    """One or two lines for the head of a table."""
    caches = ", ".join(f"{name} {size}" for name, size in about["caches"].items())
    lines = [f"{about['cpu']}, {about['cores']} cores, {about['threads']} threads ({caches})"]
    if "gpu" in about:
        lines.append(f"{about['gpu']}, CUDA {about['cuda']}, L2 {about['gpu_l2_bytes'] >> 20} MiB")
    isa = about["isa"] or "none (extension not built)"
    lines.append(f"torch {about['torch']} ({about['torch_cpu_capability']}), fastloss kernels: {isa}")
    return "\n".join(lines)


def _read(file: str) -> str | None:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return None


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Size by level, for the first core."""
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(str(index / name)) for name in ("level", "type", "size"))
        if level and size and kind != "Instruction":
            sizes[f"L{level}"] = size
    return sizes
