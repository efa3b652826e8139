"""Child processes that measure, and the memory of a process."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastloss


def environment(**extra: str) -> dict[str, str]:
    """This process's environment, for a Python that finds the same packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **extra}


def ask(module: str, request: Any, **extra: str) -> Any:
    """Runs ``python -m module`` on a request. Request and answer, the last line of output, are JSON.

    Raises:
        RuntimeError: The process failed. The message ends with the text that the process printed.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, json.dumps(request)]
    child = subprocess.run(command, env=environment(**extra), capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise RuntimeError(f"{module} {command[-1]} failed:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def status(field: str) -> int:
    """Bytes, of a field of /proc/self/status in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def reset_high_water_mark() -> bool:
    """Linux only: VmHWM becomes VmRSS."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return status("VmHWM") - status("VmRSS") < 2**20
    except OSError:
        return False


def return_free_pages() -> None:
    """Gives the system what fastloss's pool and malloc keep."""
    fastloss.empty_cache()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def peak() -> int:
    """Bytes that this process held at most; 0 where the system does not say."""
    try:
        return status("VmHWM")
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
