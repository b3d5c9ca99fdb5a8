"""What a result was made with: versions, machine, commit, memory. Names no host and no user."""

import os
import platform
import re
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "chronos-forecasting",
    "uni2ts",
    "darts",
    "gluonts",
    "safetensors",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "duckdb",
    "pydantic",
    "mlflow",
)


def versions(libraries: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Return the versions of Python and of the installed libraries, without importing them."""
    found = {"python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int | float | None]:
    """Return processor, usable cores, memory in GiB, GPU (None without one) and operating system."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _first_match(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "gpu": _gpu_name(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _gpu_name() -> str | None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    names = (
        _first_match(path, r"Model:\s*(.+)")
        for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    )
    return next(filter(None, names), None)


def _first_match(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found.group(1).strip() if found else None


def git_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in the folder's repository, None without git or repository.

    `-dirty` follows the commit where tracked files differ from it.
    """
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # Without the optional lock, jobs that run side by side never make a user's git command fail.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


_peak_before = 0.0


def begin_host_peak() -> float:
    """Return the resident memory of this process now, MiB, and let its peak be counted anew from here.

    `peak_host_mib` still knows the peak before. Where the system cannot do so (no /proc), the peak stays.
    """
    global _peak_before
    _peak_before = peak_host_mib()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        _peak_before = 0.0
    resident = _first_match(Path("/proc/self/status"), r"VmRSS:\s*(\d+) kB")
    return int(resident) / 2**10 if resident else peak_host_mib()


def host_peak_since_mib() -> float:
    """Return the peak resident memory since `begin_host_peak`, MiB."""
    own = _first_match(Path("/proc/self/status"), r"VmHWM:\s*(\d+) kB")
    return int(own) / 2**10 if own else peak_host_mib()


def peak_host_mib() -> float:
    """Return the peak resident memory of this process or of its largest ended child, in MiB.

    VmHWM counts this program only; ru_maxrss would also count the program that started it.
    """
    own = _first_match(Path("/proc/self/status"), r"VmHWM:\s*(\d+) kB")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    own_mib = int(own) / 2**10 if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return max(_peak_before, own_mib, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit)
