"""Leases on devices, with real concurrent processes and simulated devices."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from workflow_scripts.runtime import device
from workflow_scripts.runtime.device import (
    SCHEDULED,
    SIMULATED,
    VISIBLE,
    devices_in_listing,
    lease_device,
    threads_for,
    visible_devices,
)
from workflow_scripts.runtime.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]

JOB = """
import os, sys, time
from pathlib import Path
from workflow_scripts.runtime.device import lease_device
with lease_device(Path(sys.argv[1]), timeout_seconds=60) as leased:
    begun = time.monotonic()
    print(os.environ["CUDA_VISIBLE_DEVICES"], leased.identifier, begun, flush=True)
    time.sleep(float(sys.argv[2]))
    print(time.monotonic(), flush=True)
"""


@pytest.fixture(autouse=True)
def no_devices_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SIMULATED, VISIBLE, SCHEDULED, "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(device, "nvidia_smi_listing", lambda: "")


def _start(folder: Path, seconds: float, devices: str) -> subprocess.Popen[str]:
    environment = {**os.environ, SIMULATED: devices}
    return subprocess.Popen(
        [sys.executable, "-c", JOB, str(folder), str(seconds)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_twelve_jobs_share_four_devices_without_overlap(tmp_path: Path) -> None:
    jobs = [_start(tmp_path, 0.4, "0,1,2,3") for _ in range(12)]
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job in jobs:
        output, errors = job.communicate(timeout=60)
        assert job.returncode == 0, errors
        visible, identifier, begun, ended = output.split()
        assert visible == identifier
        spans[identifier].append((float(begun), float(ended)))
    assert sorted(spans) == ["0", "1", "2", "3"]
    assert sum(len(times) for times in spans.values()) == 12
    for times in spans.values():
        times.sort()
        for (_, ended), (begun, _) in itertools.pairwise(times):
            assert begun >= ended


def test_a_killed_job_frees_its_device(tmp_path: Path) -> None:
    first = _start(tmp_path, 60, "0")
    assert first.stdout is not None
    first.stdout.readline()
    second = _start(tmp_path, 0, "0")
    time.sleep(0.5)
    assert second.poll() is None
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=10)
    output, errors = second.communicate(timeout=30)
    assert second.returncode == 0, errors
    assert output.startswith("0 0 ")


def test_a_time_limit_ends_the_wait_with_the_holders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIMULATED, "0")
    with lease_device(tmp_path) as first:
        assert first.identifier == "0"
        with pytest.raises(UserError, match=f"all 1 devices taken for 0.2 s.*process {os.getpid()}"):  # noqa: SIM117
            with lease_device(tmp_path, timeout_seconds=0.2):
                pytest.fail("two leases on one device")
    with lease_device(tmp_path, timeout_seconds=0) as again:
        assert again.identifier == "0"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIMULATED, "0")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), lease_device(tmp_path / "file" / "locks"):
        pytest.fail("a lease without a lock")


def test_the_environment_is_set_for_the_block_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "2,3")
    with lease_device(tmp_path) as leased:
        assert (leased.identifier, leased.torch_name) == ("2", "cuda")
        assert (os.environ[VISIBLE], os.environ["CUDA_DEVICE_ORDER"]) == ("2", "PCI_BUS_ID")
    assert os.environ[VISIBLE] == "2,3"
    assert "CUDA_DEVICE_ORDER" not in os.environ


def test_a_single_device_set_by_a_scheduler_needs_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, "GPU-1f2e")
    with lease_device(tmp_path / "locks") as leased:
        assert leased.identifier == "GPU-1f2e"
        assert "CUDA_DEVICE_ORDER" not in os.environ
    assert not (tmp_path / "locks").exists()


def test_jobs_of_a_scheduler_that_see_the_same_names_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ConstrainDevices, Slurm numbers the devices of each job from 0 (slurm.schedmd.com/gres.html)."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setenv(SCHEDULED, "17")
    with lease_device() as first, monkeypatch.context() as other:
        other.setenv(VISIBLE, "0,1")
        other.setenv(SCHEDULED, "18")
        with lease_device(timeout_seconds=0) as second:
            assert (first.identifier, second.identifier) == ("0", "0")


def test_the_log_of_a_scheduler_s_job_names_its_device_and_node(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VISIBLE, "1")
    monkeypatch.setenv(SCHEDULED, "17")
    monkeypatch.setenv("SLURMD_NODENAME", "node2")
    with lease_device() as leased:
        assert leased.identifier == "1"
    assert capsys.readouterr().err == "device 1 of node node2, Slurm job 17\n"


def test_of_simulated_devices_a_scheduler_s_job_has_those_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SIMULATED, "0,1,2,3")
    monkeypatch.setenv(VISIBLE, "2")
    monkeypatch.setenv(SCHEDULED, "17")
    with lease_device() as leased:
        assert (leased.identifier, leased.torch_name) == ("2", "cpu")


def test_a_lease_after_cuda_was_initialised_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(RuntimeError, match="before torch"), lease_device():
        pytest.fail("a lease that comes too late")


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_without_devices_the_job_runs_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    monkeypatch.setenv(VISIBLE, hidden)
    with lease_device(tmp_path) as leased:
        assert (leased.identifier, leased.torch_name) == (None, "cpu")


def test_simulated_devices_compute_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIMULATED, "0,1")
    with lease_device(tmp_path) as leased:
        assert leased.torch_name == "cpu"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0,1,2", ["0", "1", "2"]), ("1,-1,2", ["1"]), ("", []), ("MIG-a, 3", ["MIG-a", "3"])],
)
def test_visible_devices_are_read_as_cuda_reads_them(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: list[str]
) -> None:
    """CUDA programming guide, environment variables: an invalid index hides all that follow."""
    monkeypatch.setenv(VISIBLE, value)
    assert visible_devices() == expected


def test_the_listing_of_nvidia_smi_is_understood() -> None:
    """The format is that of NVIDIA's MIG user guide."""
    listing = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6)\n"
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-c7a1b2)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-aa)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-bb)\n"
        "GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-d9)\n"
    )
    assert devices_in_listing(listing) == ["0", "MIG-aa", "MIG-bb", "2"]
    assert devices_in_listing("No devices found.\n") == []


@pytest.mark.parametrize(
    ("cores", "devices", "threads"), [(16, 4, 4), (2, 4, 1), (9, 2, 4), (16, 0, 1), (1, 1, 1)]
)
def test_threads_of_all_jobs_never_exceed_the_cores(cores: int, devices: int, threads: int) -> None:
    assert threads_for(cores, devices) == threads
