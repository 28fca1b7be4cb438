"""What this machine has: cores, memory, disk, accelerators. None of it enters hashed artifacts."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from truefill.core.errors import TruefillError

Device = Literal["cpu", "gpu"]

PROBE_TIMEOUT_S = 120
_PROBE = """
import json, jax
found = {}
for name in ("gpu", "cpu"):
    try:
        found[name] = [str(device.device_kind) for device in jax.devices(name)]
    except RuntimeError:
        found[name] = []
print(json.dumps(found))
"""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name."""
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def default_workers(seeds: int) -> int:
    """One process a seed, at most one a core."""
    return max(1, min(seeds, cores()))


def memory_available_bytes() -> int:
    """Memory that can be had now without swapping, within the container's limit."""
    limits = [_meminfo_available()]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(name)
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits)


def _meminfo_available() -> int:
    path = Path("/proc/meminfo")
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def existing_parent(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def disk_available_bytes(folder: Path) -> int:
    """Free bytes where ``folder`` is, or would be."""
    return shutil.disk_usage(existing_parent(folder)).free


def probe_devices() -> dict[str, list[str]]:
    """Device kinds jax finds, by backend: ``{"gpu": [...], "cpu": [...]}``.

    jax is imported in a short process of its own: workers set their flags before they import it.

    Raises:
        TruefillError: jax does not start.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        capture_output=True,
        text=True,
        timeout=PROBE_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise TruefillError(
            f"jax does not start: {last}", where="device", do="run `make setup` again"
        )
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def resolve_device(wanted: Literal["auto", "cpu", "gpu"], found: dict[str, list[str]]) -> Device:
    """The device a run uses; it is recorded with the run.

    Raises:
        TruefillError: a GPU is wanted and jax has none.
    """
    if wanted == "gpu" and not found.get("gpu"):
        raise TruefillError(
            "device: gpu, but jax finds no GPU",
            where="device",
            do="set device: cpu or auto, or install jax with CUDA (pip install 'jax[cuda12]')",
        )
    return "gpu" if wanted != "cpu" and found.get("gpu") else "cpu"
