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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.warm import own_servers

if sys.platform != "linux":
    pytest.skip("elsewhere every step runs plainly", allow_module_level=True)

PACKAGE = Path(__file__).resolve().parents[2] / "workflow_scripts"
SERVED_WITH = (
    "__init__.py",
    "steps/__init__.py",
    "warm.py",
    *(f"runtime/{name}.py" for name in ("__init__", "warm", "process")),
)
PATIENCE_MS = 300_000
"""A test that waits so long has failed."""

SERVER = """
import socket, sys
from workflow_scripts.runtime.warm import Server, run_and_end

def warm_up(arguments):
    import library

arguments = Server(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), {"step": warm_up}).serve()
if arguments is not None:
    run_and_end(arguments)
"""

STEP = """
import atexit, json, os, signal, sys, threading
import library
from workflow_scripts.runtime.process import began

def tell(**more):
    umask = os.umask(0)
    os.umask(umask)
    known = dict(arguments=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ), umask=umask,
        value=library.VALUE, imported_by=library.PID, pid=os.getpid(), parent=os.getppid(), began=began(), **more)
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
            shutil.copy(PACKAGE / name, folder / "workflow_scripts" / name)
        self.write("workflow_scripts/warm_server.py", SERVER)
        self.write("workflow_scripts/steps/step.py", STEP)
        self.write("workflow_scripts/steps/unserved.py", STEP)
        self.write("library.py", "import os\nVALUE, PID = 1, os.getpid()\n")
        self.owner = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self._servers: dict[int, int] = {}

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def start(
        self, *arguments: str, warm: bool = True, step: str = "step", **options: Any
    ) -> "subprocess.Popen[str]":
        modules = ["workflow_scripts.warm", step] if warm else [f"workflow_scripts.steps.{step}"]
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
        if told["pid"] != client.pid and told["parent"] not in self._servers:
            self._servers[told["parent"]] = os.pidfd_open(told["parent"])
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
    return told["imported_by"] == told["parent"] != os.getpid()


def test_a_warm_step_is_told_and_says_what_a_plain_one_does(steps: Steps) -> None:
    outcomes = []
    for warm in (False, True):
        client = steps.start("tell", "--name", "a b", "ü", warm=warm)
        output, errors = client.communicate("some input")
        first, *rest = output.splitlines()
        told = json.loads(first)
        assert is_warm(told) == warm
        for differing in ("pid", "parent", "imported_by", "began"):
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
    assert len({one["parent"] for one in told}) == 1
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


def test_changed_code_is_never_run_stale(steps: Steps) -> None:
    first = steps.tell()
    steps.write("workflow_scripts/steps/step.py", STEP.replace("value=library.VALUE", "value=2"))
    second = steps.tell()
    assert (first["value"], second["value"]) == (1, 2)
    assert first["parent"] != second["parent"]


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
    first = steps.told(client)
    child = os.pidfd_open(first["pid"])
    os.kill(first["parent"], signal.SIGKILL)
    again = steps.told(client)
    # The client does it itself, and only once the child can no longer do it too.
    assert again["pid"] == client.pid
    wait_for_end(child)
    os.close(child)
    client.communicate()
    assert client.returncode == 0
    assert is_warm(steps.tell())


def test_a_client_that_was_asked_to_end_runs_nothing_itself(steps: Steps) -> None:
    client = steps.start("wait")
    first = steps.told(client)
    os.kill(first["parent"], signal.SIGSTOP)
    client.send_signal(signal.SIGTERM)
    os.kill(first["parent"], signal.SIGKILL)
    client.wait()
    output, _ = client.communicate()
    assert (output, client.returncode) == ("", -signal.SIGTERM)


@pytest.mark.parametrize("owner", ["0", "", "no number", "4194305"])
def test_a_step_runs_plainly_where_no_server_is_wanted(steps: Steps, owner: str) -> None:
    assert not is_warm(steps.tell(env={"VITALORA_WARM": owner}))


@pytest.mark.parametrize(("before", "after"), [("0", "0"), ("123", "its own"), (None, "its own")])
def test_a_process_owns_the_servers_of_its_steps_unless_none_are_wanted(
    monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    # Set in any case, so that it is as before afterwards.
    monkeypatch.setenv("VITALORA_WARM", before or "")
    if before is None:
        monkeypatch.delenv("VITALORA_WARM")
    own_servers()
    assert os.environ["VITALORA_WARM"] == (str(os.getpid()) if after == "its own" else after)


def test_a_job_of_a_cluster_looks_for_no_server_of_the_machine_that_it_was_submitted_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VITALORA_WARM", "123")
    own_servers(alone=True)
    assert os.environ["VITALORA_WARM"] == "0"


def test_a_step_that_is_not_served_runs_plainly(steps: Steps) -> None:
    assert not is_warm(steps.tell(step="unserved"))


@pytest.mark.parametrize("name", ["workflow_scripts/warm_server.py", "library.py"])
def test_a_step_runs_plainly_where_the_server_cannot(steps: Steps, name: str) -> None:
    """A server that fails itself, or to import a library that fails there only."""
    text = (steps.folder / name).read_text()
    steps.write(name, "import sys\nif 'warm_server' in str(sys.orig_argv): raise MemoryError\n" + text)
    assert not is_warm(steps.tell())


def test_servers_end_with_their_owner_and_leave_no_socket(steps: Steps) -> None:
    running = steps.start("wait")
    server = steps.told(running)["parent"]
    (name,) = listening(server)
    steps.owner.communicate()
    # A job that runs already is done to its end.
    ended = os.pidfd_open(server)
    running.communicate()
    assert running.returncode == 0
    wait_for_end(ended)
    os.close(ended)
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
