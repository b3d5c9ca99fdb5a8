"""Steps run by a process that forks, held against the same steps run plainly, with real processes.

The steps are those of a small package made for each test: a copy of what serves them, a step, and a library that
the server imports for it. Nothing here waits by the clock: only for processes, pipes and files.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from snakemake.benchmark import BenchmarkRecord

if sys.platform != "linux":
    pytest.skip("elsewhere every step runs plainly", allow_module_level=True)

PACKAGE = Path(__file__).resolve().parents[2] / "workflow_scripts"
SERVED_WITH = ("__init__.py", "steps/__init__.py", "runtime")
PATIENCE_MS = 300_000
"""A test that waits so long has failed."""

STEP = """
import atexit, json, os, signal, sys, threading, time
import library
from workflow_scripts.runtime.process import began

def tell(**more):
    umask = os.umask(0)
    os.umask(umask)
    known = dict(arguments=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ), umask=umask,
        value=library.VALUE, imported_by=library.PID, pid=os.getpid(), began=began(), **more)
    print(json.dumps(known), flush=True)

def told_to_end(number, frame):
    print("told to end", flush=True)
    raise SystemExit(128 + number)

how = sys.argv[1]
if how == "tell":
    tell(read=sys.stdin.read())
    print("a warning", file=sys.stderr)
    atexit.register(print, "at exit")
    threading.Thread(target=print, args=("another thread",)).start()
elif how == "status":
    sys.exit(int(sys.argv[2]))
elif how == "text":
    sys.exit("error: a text")
elif how == "raise":
    raise ValueError("an error")
elif how == "work":
    large = b"x" * 2**28
    while time.process_time() < 0.5:
        pass
elif how == "killed":
    os.kill(os.getpid(), int(sys.argv[2]))
elif how == "wait":
    signal.signal(signal.SIGTERM, told_to_end)
    tell()
    sys.stdin.read()
"""


class Steps:
    """A package of steps, and the process that its servers end with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in SERVED_WITH:
            (folder / "workflow_scripts" / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (PACKAGE / name).is_dir() else shutil.copy
            copy(PACKAGE / name, folder / "workflow_scripts" / name)
        self.write("workflow_scripts/steps/step.py", STEP)
        self.write("library.py", "import os\nVALUE, PID = 1, os.getpid()\n")
        self.owner = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self._servers: dict[int, int] = {}

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def start(
        self, *arguments: str, warm: bool = True, client_options: Sequence[str] = (), **options: Any
    ) -> "subprocess.Popen[str]":
        client = ["workflow_scripts.runtime.warm", "--preload", "library", *client_options, "step"]
        modules = client if warm else ["workflow_scripts.steps.step"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "VITALORA_WARM": str(self.owner.pid)}
        environment |= options.pop("env", {})
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-m", *modules, *arguments],
            **{"cwd": self.folder, "stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True, **options},
            env=environment,
        )

    def told(self, client: "subprocess.Popen[str]") -> dict[str, Any]:
        """What a running step said of itself. Its server is remembered."""
        assert client.stdout is not None
        told = json.loads(client.stdout.readline())
        if is_warm(told) and server_of(told) not in self._servers:
            self._servers[server_of(told)] = os.pidfd_open(server_of(told))
        return told

    def tell(self, *more: str, **options: Any) -> dict[str, Any]:
        """Run a step that says what it is."""
        client = self.start("tell", *more, **options)
        assert client.stdin is not None
        client.stdin.close()
        client.stdin = None
        told = self.told(client)
        client.communicate()
        assert client.returncode == 0
        return told

    def end(self) -> None:
        """End the owner, and see that no server outlives it."""
        self.owner.communicate()
        for server in self._servers.values():
            wait_for_end(server)
            os.close(server)


def wait_for_end(process: int) -> None:
    """Wait until a process has ended, by its file descriptor."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(PATIENCE_MS), "the process still lives"


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    package = Steps(tmp_path)
    yield package
    package.end()


def is_warm(told: dict[str, Any]) -> bool:
    """Whether the library was there before the step began."""
    return told["imported_by"] != told["pid"]


def server_of(told: dict[str, Any]) -> int:
    """The process that imported the library for a warm step."""
    return told["imported_by"]


def test_a_warm_step_is_told_and_says_what_a_plain_one_does(steps: Steps) -> None:
    outcomes = []
    for warm in (False, True):
        client = steps.start("tell", "--name", "a b", "ü", warm=warm)
        output, errors = client.communicate("some input")
        first, *rest = output.splitlines()
        told = json.loads(first)
        assert is_warm(told) == warm
        for differing in ("pid", "imported_by", "began"):
            del told[differing]
        outcomes.append((told, rest, errors, client.returncode))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0]["read"] == "some input"


@pytest.mark.parametrize(
    "how",
    [
        ("status", "0"),
        ("status", "3"),
        ("status", "256"),
        ("text",),
        ("killed", "9"),
        ("killed", "15"),
        ("killed", "2"),
    ],
)
def test_a_warm_step_ends_as_a_plain_one_does(steps: Steps, how: tuple[str, ...]) -> None:
    plain, warm = (steps.start(*how, warm=warm) for warm in (False, True))
    (_, plain_errors), (_, warm_errors) = plain.communicate(), warm.communicate()
    assert warm.returncode == plain.returncode
    if how[0] != "killed":
        assert warm_errors == plain_errors


def test_a_warm_steps_error_is_shown_as_a_plain_ones(steps: Steps) -> None:
    clients = [steps.start("raise", warm=warm) for warm in (False, True)]
    endings = [(client.communicate()[1].splitlines()[-3:], client.returncode) for client in clients]
    assert endings[0] == endings[1]
    assert endings[0][0][-1] == "ValueError: an error"


def test_the_library_is_imported_once_for_all_jobs_and_two_at_once_share_a_server(steps: Steps) -> None:
    clients = [steps.start("wait") for _ in range(2)]
    told = [steps.told(client) for client in clients]
    for client in clients:
        client.communicate()
    told.append(steps.tell())
    assert all(map(is_warm, told))
    assert len(set(map(server_of, told))) == 1
    assert len({one["pid"] for one in told}) == 3


def test_environment_and_folder_are_the_clients(steps: Steps, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    settings: list[dict[str, Any]] = [{}, {"env": {"A_NAME": "1"}}, {"env": {"A_NAME": "2"}}, {"cwd": inner}]
    plain = [steps.tell(warm=False, **setting) for setting in settings]
    warm = [steps.tell(**setting) for setting in settings]
    assert all(map(is_warm, warm))
    for name in ("environment", "folder", "umask"):
        assert [one[name] for one in warm] == [one[name] for one in plain]


@pytest.mark.parametrize("warm", [False, True])
def test_a_jobs_time_counts_from_the_start_of_its_command(steps: Steps, warm: bool) -> None:
    steps.tell(warm=warm)
    before = time.perf_counter()
    told = steps.tell(warm=warm)
    # The kernel counts starts in ticks.
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert before - 2 * tick <= told["began"] <= time.perf_counter()


@pytest.mark.parametrize("owner", ["a server", "0"])
def test_the_benchmark_file_tells_time_and_memory_of_the_job_in_snakemakes_form(
    steps: Steps, tmp_path: Path, owner: str
) -> None:
    path = tmp_path / "logs" / "job.benchmark.tsv"
    options = {"env": {"VITALORA_WARM": "0"}} if owner == "0" else {}
    client = steps.start("work", client_options=["--benchmark", str(path)], **options)
    assert client.communicate() == ("", "")
    header, row = (line.split("\t") for line in path.read_text().splitlines())
    assert header == BenchmarkRecord.get_header()
    measured = dict(zip(header, row, strict=True))
    assert float(measured["max_rss"]) > 256
    assert 0.5 <= float(measured["cpu_time"]) < 2.0
    assert float(measured["s"]) >= 0.5
    assert float(measured["mean_load"]) == pytest.approx(
        100 * float(measured["cpu_time"]) / float(measured["s"]), abs=1.0
    )


@pytest.mark.parametrize("owner", ["a server", "0"])
def test_a_job_that_fails_leaves_no_benchmark_file(steps: Steps, tmp_path: Path, owner: str) -> None:
    path = tmp_path / "job.benchmark.tsv"
    options = {"env": {"VITALORA_WARM": "0"}} if owner == "0" else {}
    client = steps.start("status", "3", client_options=["--benchmark", str(path)], **options)
    client.communicate()
    assert client.returncode == 3
    assert not path.exists()


def test_changed_code_is_never_run_stale(steps: Steps) -> None:
    first = steps.tell()
    steps.write("workflow_scripts/steps/step.py", STEP.replace("value=library.VALUE", "value=2"))
    second = steps.tell()
    assert (first["value"], second["value"]) == (1, 2)
    assert server_of(first) != server_of(second)


def test_the_job_of_a_client_that_was_killed_ends_at_once(steps: Steps) -> None:
    client = steps.start("wait")
    child = os.pidfd_open(steps.told(client)["pid"])
    client.kill()
    wait_for_end(child)
    client.communicate()
    os.close(child)


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_job_is_asked_to_end_as_its_client_is(steps: Steps, asked: signal.Signals) -> None:
    outcomes = []
    for warm in (False, True):
        client = steps.start("wait", warm=warm)
        steps.told(client)
        client.send_signal(asked)
        client.wait()
        output, errors = client.communicate()
        outcomes.append((output, errors.splitlines()[-1:], client.returncode))
    assert outcomes[0] == outcomes[1]


def test_a_job_whose_server_was_killed_is_done_nonetheless(steps: Steps) -> None:
    client = steps.start("wait")
    told = steps.told(client)
    os.kill(server_of(told), signal.SIGKILL)
    output, _ = client.communicate()
    assert (output, client.returncode) == ("", 0)
    assert is_warm(steps.tell())


def test_a_client_that_was_asked_to_end_before_its_job_began_runs_nothing(steps: Steps) -> None:
    for name in ("importing", "released"):
        os.mkfifo(steps.folder / name)
    steps.write(
        "library.py", "import os\nopen('importing', 'w')\nopen('released')\nVALUE, PID = 1, os.getpid()\n"
    )
    client = steps.start("wait")
    (steps.folder / "importing").read_text()
    client.send_signal(signal.SIGTERM)
    assert client.wait() == -signal.SIGTERM
    (steps.folder / "released").write_text("")
    output, _ = client.communicate()
    assert output == ""


@pytest.mark.parametrize("owner", ["0", "", "no number", "4194305"])
def test_a_step_runs_plainly_where_no_server_is_wanted(steps: Steps, owner: str) -> None:
    assert not is_warm(steps.tell(env={"VITALORA_WARM": owner}))


@pytest.mark.parametrize("name", ["workflow_scripts/runtime/warm/server.py", "library.py"])
def test_a_step_runs_plainly_where_the_server_cannot(steps: Steps, name: str) -> None:
    """A server that fails itself, or to import a library that fails there only."""
    text = (steps.folder / name).read_text()
    steps.write(name, "import sys\nif 'warm.server' in str(sys.orig_argv): raise MemoryError\n" + text)
    assert not is_warm(steps.tell())


def test_servers_end_with_their_owner_and_leave_no_socket(steps: Steps) -> None:
    running = steps.start("wait")
    server = server_of(steps.told(running))
    (name,) = listening(server)
    steps.owner.communicate()
    ended = os.pidfd_open(server)
    wait_for_end(ended)
    os.close(ended)
    # A job that runs already is done to its end.
    running.communicate()
    assert running.returncode == 0
    assert name not in Path("/proc/net/unix").read_text()


def listening(process: int) -> list[str]:
    """Names of the sockets on which a process listens."""
    links = [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()]
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [row[7] for row in rows if f"socket:[{row[6]}]" in links and row[3] == "00010000"]


FORK_OF_A_LARGE_PROCESS = """
import os
from workflow_scripts.runtime.machine import peak_host_mib
large = b"x" * 2**28
del large
print(peak_host_mib(), flush=True)
if not os.fork():
    print(peak_host_mib(), flush=True)
    os._exit(0)
os.wait()
"""


def test_the_peak_of_a_forked_process_is_its_own() -> None:
    command = [sys.executable, "-c", FORK_OF_A_LARGE_PROCESS]
    output = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True).stdout
    parent, child = map(float, output.split())
    assert child < parent - 200
