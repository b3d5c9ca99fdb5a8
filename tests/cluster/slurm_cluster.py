"""A real Slurm cluster on this one machine: several nodes with stand-in GPUs, for the tests and for trying things out.

Debian's slurm-wlm and munge; every node is a slurmd of its own. Nothing outside the cluster's folder is touched.

    python tests/cluster/slurm_cluster.py install        # as root, with apt
    python tests/cluster/slurm_cluster.py start FOLDER   # prints the lines to enter into a shell
    python tests/cluster/slurm_cluster.py stop FOLDER
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from tests.helpers.ports import free_port

ROOT = Path(__file__).parents[2]
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol")
PACKAGES = ("slurm-wlm", "munge")
DAEMONS = ("slurmd-*", "slurmctld", "munged")
"""Names of their files with process numbers, in the order in which they are stopped."""
SECONDS_TO_START = 60

CONFIGURATION = """\
ClusterName=vitalora
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=0
KillWait=5
MinJobAge=86400
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
"""Processes are tracked by parentage and bound to no cores, because containers lack the cgroups for more."""

NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=64000 Gres=gpu:{gpus}\n"
DEVICES = "NodeName={name} Name=gpu File={folder}/gpu[0-{last}]\n"


def install() -> str:
    """Install Debian's packages where apt can. Why Slurm is not here nonetheless; empty if it is."""
    if _missing() and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (("update",), ("install", "--yes", "--no-install-recommends", *PACKAGES)):
            subprocess.run(
                ["apt-get", "--quiet", *command], env=environment, capture_output=True, check=False
            )
    missing = _missing()
    return f"{', '.join(missing)} not here, and apt could not install {' '.join(PACKAGES)}" if missing else ""


def _missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=_search_path()) is None]


def _search_path() -> str:
    own = Path(sys.executable).parent
    return os.pathsep.join((str(own), os.environ["PATH"], "/usr/sbin", "/sbin"))


@dataclass(frozen=True)
class SlurmCluster:
    """A cluster whose files all lie in one folder. Devices are numbered from 0 on each node."""

    folder: Path
    nodes: int = 2
    gpus: int = 2

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use the cluster, and to take its devices for pretended ones."""
        devices = ",".join(map(str, range(self.gpus)))
        path = f"{self.folder / 'bin'}{os.pathsep}{_search_path()}"
        found = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path, "VITALORA_DEVICES": devices}
        return found | ({"PYTHONPATH": str(self._plugin)} if self._plugin.is_dir() else {})

    @property
    def _plugin(self) -> Path:
        return self.folder / "plugin"

    def prepare(self) -> str:
        """Install the plugin in the cluster's folder where it is not here. Why there can be no cluster, else empty."""
        if sys.platform != "linux" or os.getuid() != 0:
            return "Slurm's daemons need Linux and root"
        if missing := _missing():
            return f"{', '.join(missing)} not here: python tests/cluster/slurm_cluster.py install"
        if find_spec("snakemake_executor_plugin_slurm") is None:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
            command += ["--target", str(self._plugin), "--requirement", str(ROOT / "envs/cluster.txt")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"pip could not install envs/cluster.txt: {done.stderr.strip().splitlines()[-1:]}"
        return ""

    def start(self) -> None:
        """Write the configuration, start the daemons, and wait until every node is idle."""
        self._configure()
        for command in (
            *(["munged", "--force", f"--key-file={self.folder}/munge.key", *self._munge_files()],),
            ["slurmctld"],
            *(["slurmd", "-N", f"node{number}"] for number in range(1, self.nodes + 1)),
        ):
            subprocess.run(
                command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        end = time.monotonic() + SECONDS_TO_START
        while (
            self.tell("sinfo", "--noheader", "--Node", "--format=%T", check=False).split()
            != ["idle"] * self.nodes
        ):
            if time.monotonic() > end:
                logs = "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))
                raise RuntimeError(f"Slurm did not come up:\n{logs}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the daemons, then what is left of jobs: all that was started with the cluster's environment."""
        for pattern in DAEMONS:
            for file in list(self.folder.glob(f"{pattern}.pid")):
                _end(int(file.read_text()))
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("PATH") == self.environment["PATH"] and process.pid != os.getpid():
                    process.kill()

    def tell(self, *command: str, check: bool = True) -> str:
        """What one of Slurm's commands prints."""
        return subprocess.run(
            command,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=None if check else subprocess.DEVNULL,
            text=True,
            check=check,
        ).stdout

    def jobs(self) -> list[dict[str, str]]:
        """What Slurm knows of every job, finished ones included, in the order of their numbers."""
        lines = self.tell("scontrol", "--oneliner", "show", "job").splitlines()
        found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.startswith("JobId=")]
        return sorted(found, key=lambda job: int(job["JobId"]))

    def set_node(self, number: int, state: str) -> None:
        """Let a node be DRAIN, DOWN or RESUME."""
        self.tell("scontrol", "update", f"NodeName=node{number}", f"State={state}", "Reason=a test")

    def _configure(self) -> None:
        for name in ("state", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(self.gpus):
            (self.folder / f"gpu{number}").symlink_to(os.devnull)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        text = CONFIGURATION.format(folder=self.folder, port=free_port())
        devices = ""
        for number in range(1, self.nodes + 1):
            name = f"node{number}"
            text += NODE.format(name=name, host=os.uname().nodename, port=free_port(), gpus=self.gpus)
            devices += DEVICES.format(name=name, folder=self.folder, last=self.gpus - 1)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text(devices)
        # The executor plugin starts srun without any variable of Slurm, also without the one that names this file.
        command = (
            f'SLURM_CONF={shlex.quote(str(self.folder / "slurm.conf"))} exec {shutil.which("srun")} "$@"'
        )
        (self.folder / "bin/srun").write_text(f"#!/bin/sh\n{command}\n")
        (self.folder / "bin/srun").chmod(0o755)

    def _munge_files(self) -> list[str]:
        names = {
            "socket": "munge.socket",
            "pid-file": "munged.pid",
            "log-file": "munged.log",
            "seed-file": "seed",
        }
        return [f"--{option}={self.folder / name}" for option, name in names.items()]


def _end(pid: int) -> None:
    """End a daemon, which is no child of this process, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)


@contextmanager
def running(cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """The cluster runs for as long as the block lasts."""
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def main() -> None:
    """Install, start or stop, as the arguments say."""
    match sys.argv[1:]:
        case ["install"]:
            sys.exit(install() or 0)
        case ["start", folder]:
            cluster = SlurmCluster(Path(folder).resolve())
            if reason := cluster.prepare():
                sys.exit(reason)
            cluster.start()
            for name, value in cluster.environment.items():
                print(f"export {name}={shlex.quote(value)}")
        case ["stop", folder]:
            SlurmCluster(Path(folder).resolve()).stop()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
