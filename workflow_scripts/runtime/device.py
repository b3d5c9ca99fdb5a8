"""One device for each job: leases on NVIDIA devices, held by file locks.

Snakemake's `--resources gpu=4` limits how many jobs run at once, but tells none of them which device is its
own. So each training process takes a lease before it uses CUDA: a lock on one file per device in a node-local
folder. (CUDA reads CUDA_VISIBLE_DEVICES when it starts, which torch's import does not do, and torch keeps no count of
devices from before.) The kernel drops the lock when the process ends, however it ends. Locks are shared by the
processes of one user; between users a scheduler has to divide the machine.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock

SIMULATED = "VITALORA_DEVICES"
"""Environment variable with names of pretended devices ("0,1,2,3"), to try leases without any."""

VISIBLE = "CUDA_VISIBLE_DEVICES"
SCHEDULED = "SLURM_JOB_ID"
"""Environment variable: the job of the scheduler that divides this machine among its users."""

TWELVE_HOURS = 12 * 3600.0
_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Device:
    """What a job computes on. identifier: as in CUDA_VISIBLE_DEVICES, or None for the CPU."""

    identifier: str | None
    simulated: bool = False

    @property
    def torch_name(self) -> str:
        """The name for `torch.device`: the leased device is the only one that the process sees."""
        return "cpu" if self.identifier is None or self.simulated else "cuda"


def visible_devices() -> list[str]:
    """Return the identifiers of the devices that this process may use, without importing torch.

    In order: the simulated ones (those of them that CUDA_VISIBLE_DEVICES names, in a scheduler's job), those of
    CUDA_VISIBLE_DEVICES, those that nvidia-smi lists (the instances of a divided device, MIG, count one by one),
    those of the kernel driver.
    """
    if SIMULATED in os.environ:
        simulated = _listed(os.environ[SIMULATED])
        if SCHEDULED in os.environ and VISIBLE in os.environ:
            allotted = _listed(os.environ[VISIBLE])
            return [name for name in simulated if name in allotted]
        return simulated
    if VISIBLE in os.environ:
        return _listed(os.environ[VISIBLE])
    listing = nvidia_smi_listing()
    if listing is not None:
        return devices_in_listing(listing)
    driver = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number, _ in enumerate(driver.iterdir())] if driver.is_dir() else []


def _listed(names: str) -> list[str]:
    """Split a list of devices; as in CUDA, what follows an invalid entry such as -1 does not count."""
    devices: list[str] = []
    for name in names.split(","):
        if not name.strip() or name.strip().startswith("-"):
            break
        devices.append(name.strip())
    return devices


@cache
def nvidia_smi_listing() -> str | None:
    """Return the output of `nvidia-smi -L`; None where there is no such program, or it fails."""
    try:
        result = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


def devices_in_listing(listing: str) -> list[str]:
    """Return the identifiers in the output of `nvidia-smi -L`: indices, or UUIDs for MIG instances."""
    devices: list[str] = []
    for line in listing.splitlines():
        whole = re.match(r"GPU (\d+):", line)
        instance = re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)
        if whole:
            devices.append(whole.group(1))
        elif instance:
            # The device itself, named on the line above its first instance, cannot be used as a whole.
            if devices and devices[-1].isdigit():
                devices.pop()
            devices.append(instance.group(1))
    return devices


def threads_for(cores: int, devices: int) -> int:
    """Return the threads of one job: the cores divided among the devices; one where there is no device."""
    return max(1, cores // devices) if devices > 0 else 1


@contextmanager
def lease_device(folder: Path | None = None, timeout_seconds: float = TWELVE_HOURS) -> Iterator[Device]:
    """Hold a device alone for the length of the block; wait while all are taken.

    Must be entered in the process that trains, before it uses CUDA: CUDA_VISIBLE_DEVICES is set to the
    one leased device, with CUDA_DEVICE_ORDER=PCI_BUS_ID, so that indices mean what nvidia-smi shows. Where a
    scheduler has already set CUDA_VISIBLE_DEVICES to a single device, that one is used as it is, without a
    lease; where it names several, one of them is leased. Without any device the block runs on the CPU.
    Which device a job of Slurm got, and on which node, is said on standard error: it goes to the job's log.

    Args:
        folder: node-local folder of the lock files; by default the user's own below the temporary folder, in a
            scheduler's job the job's own: two jobs may each know their devices as 0 and 1, and not share one.
        timeout_seconds: longest time to wait for a device.

    Raises:
        UserError: the folder cannot be written, or no device became free in time.
        RuntimeError: torch has already taken devices in this process, so that a lease would come too late.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise RuntimeError("lease a device before torch uses CUDA")
    simulated = SIMULATED in os.environ
    devices = visible_devices()
    if not devices:
        yield Device(None)
        return
    scheduled = SCHEDULED in os.environ
    if VISIBLE in os.environ and len(devices) == 1 and (scheduled or not simulated):
        _tell(devices[0])
        yield Device(devices[0], simulated)
        return
    owner = f"{os.getuid()}-{os.environ[SCHEDULED]}" if scheduled else f"{os.getuid()}"
    folder = folder or Path(tempfile.gettempdir()) / f"vitalora-devices-{owner}"
    identifier, lock = _wait_for_lock(devices, folder, timeout_seconds)
    _tell(identifier)
    try:
        with _environment({VISIBLE: identifier, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}):
            yield Device(identifier, simulated)
    finally:
        lock.release()


def _tell(identifier: str) -> None:
    if SCHEDULED in os.environ:
        job, node = os.environ[SCHEDULED], os.environ.get("SLURMD_NODENAME", "unknown")
        print(f"device {identifier} of node {node}, Slurm job {job}", file=sys.stderr, flush=True)


def _wait_for_lock(devices: list[str], folder: Path, timeout_seconds: float) -> "tuple[str, FileLock]":
    """Return the first device that can be locked, and its lock."""
    deadline = time.monotonic() + timeout_seconds
    told = False
    while True:
        for identifier in devices:
            if lock := _try_lock(_lock_file(folder, identifier)):
                return identifier, lock
        if time.monotonic() >= deadline:
            raise UserError(
                f"lease of a device (lock files in {folder})",
                f"all {len(devices)} devices taken for {timeout_seconds:g} s, {_holders(devices, folder)}",
                "a free device within the time limit",
                "wait for those processes or end them, or run fewer jobs at once (--resources gpu=N)",
            )
        if not told:
            print(f"waiting for a device: {_holders(devices, folder)}", file=sys.stderr, flush=True)
            told = True
        time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _lock_file(folder: Path, identifier: str) -> Path:
    return folder / f"{re.sub('[^A-Za-z0-9-]', '_', identifier)}.lock"


def _try_lock(path: Path) -> "FileLock | None":
    """Lock a file and note this process in it; None where another process holds the lock."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=0o600, fallback_to_soft=False)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        path.write_text(f"{os.getpid()}\n")
    except Timeout:
        return None
    except OSError as error:
        raise UserError(
            f"lease of a device: {path}",
            f"cannot be written ({error.strerror})",
            "a folder on a local disk that this user can write",
            "correct its permissions, or set TMPDIR to another folder",
        ) from None
    return lock


def _holders(devices: list[str], folder: Path) -> str:
    notes = []
    for identifier in devices:
        try:
            holder = _lock_file(folder, identifier).read_text().strip()
        except OSError:
            holder = ""
        notes.append(f"{identifier} by process {holder or 'unknown'}")
    return "held: " + ", ".join(notes)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
