"""Whether a process still lives, with real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from workflow_scripts.runtime.process import Terminated, process_identity, process_is_gone, terminable

REPOSITORY = Path(__file__).resolve().parents[2]

CHILD = """
import json, time
from workflow_scripts.runtime.process import process_identity
print(json.dumps(process_identity()), flush=True)
time.sleep(60)
"""


def test_a_process_is_gone_once_it_was_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert child.stdout is not None
    identity = json.loads(child.stdout.readline())
    assert not process_is_gone(identity)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    # Killed but not yet waited for: a zombie.
    assert process_is_gone(identity)
    child.communicate()
    assert process_is_gone(identity)


@pytest.mark.parametrize("changed", [{"boot": "another"}, {"started": "1"}])
def test_a_number_of_another_boot_or_given_out_again_is_gone(changed: dict[str, str]) -> None:
    assert not process_is_gone(process_identity())
    assert process_is_gone({**process_identity(), **changed})


@pytest.mark.parametrize("identity", [{}, {"host": "another", "boot": "", "pid": "1", "started": ""}])
def test_a_process_of_another_machine_is_never_called_gone(identity: dict[str, str]) -> None:
    assert not process_is_gone(identity)


def test_sigterm_ends_the_block_as_an_exception() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated) as ended, terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def block() -> None:
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [before]
