"""Strikes a step at a seeded moment: imported by every Python process of a project's copy as sitecustomize.

A moment is the n-th audit event of the process (an import, a file opened …), the n-th change of a file among them, or
a part of the time that the undisturbed step took; or the n-th event that names a checkpoint. All but the time do not
depend on the machine's speed.
"""

import hashlib
import json
import re
import signal
from pathlib import Path

_HOOK = """\
import atexit, hashlib, json, os, re, signal, sys, threading, time

_FOLDER = {folder!r}
_THREADS = re.compile({threads!r})
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "tempfile.mkstemp", "tempfile.mkdtemp", "shutil.rmtree")


def _job():
    words = sys.orig_argv
    words = words[words.index("-m") + 1 :] if "-m" in words else []
    if words[:1] == ["workflow_scripts.runtime.warm"]:
        words = words[1:]
        while words and words[0].startswith("--"):
            words = words[2:]
    elif words and words[0].startswith("workflow_scripts.steps."):
        words[0] = words[0].rpartition(".")[2]
    else:
        return None
    if not words:
        return None
    if words[0] == "sync_tracking" and "--output" not in words:
        return None  # After a failure, no job.
    return words[0] + "-" + hashlib.sha256(_THREADS.sub("", " ".join(words)).encode()).hexdigest()[:12]


def _note(text):
    with open(os.path.join(_FOLDER, "notes"), "a") as notes:
        notes.write(text + "\\n")


def _begin(job):
    _note("began " + job)
    plan = {{"when": "never"}}
    for number in range(9):
        name = os.path.join(_FOLDER, f"{{job}}.plan{{number}}")
        try:
            os.rename(name, name + ".taken")
        except FileNotFoundError:
            continue
        with open(name + ".taken") as file:
            plan = json.load(file)
        break
    counts = {{"event": 0, "change": 0, "checkpoint": 0}}
    begun = time.monotonic()
    struck = []

    def strike():
        if not struck:
            struck.append(True)
            _note("struck " + job)
            os.kill(os.getpid(), plan["signal"])

    def watch(event, arguments):
        counts["event"] += 1
        kind = "event"
        if event in _CHANGES or event == "open" and arguments[1] not in (None, "r", "rb"):
            counts["change"] += 1
            kind = "change"
        if plan["when"] == "checkpoint" and event != "import" and "checkpoint.safetensors" in str(arguments):
            counts["checkpoint"] += 1
            kind = "checkpoint"
        if plan["when"] in ("event", kind) and counts[plan["when"]] == plan["at"]:
            strike()

    def profile():
        counts["second"] = time.monotonic() - begun
        text = json.dumps(counts)  # Before this file, itself a change, is opened.
        with open(os.path.join(_FOLDER, job + ".profile"), "w") as file:
            file.write(text)

    sys.addaudithook(watch)
    if plan["when"] == "second":
        timer = threading.Timer(plan["at"], strike)
        timer.daemon = True
        timer.start()
    if {profiling!r}:
        atexit.register(profile)


_of = _job()
if _of:
    _begin(_of)
"""

THREADS = r" --threads \d+"
"""What is no part of a job's name: it follows the cores."""

KINDS = ("change", "event", "second")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def set_hook(project: Path, folder: Path, profiling: bool = False, before: str = "") -> None:
    """Let every step of the project look for its plan in the folder.

    profiling: note how much there is to count. before: a statement that every process runs first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = _HOOK.format(folder=str(folder), threads=THREADS, profiling=profiling)
    (project / "sitecustomize.py").write_text(f"{before}\n{text}", encoding="utf-8")


def jobs(profiles: Path, step: str = "") -> list[str]:
    """The jobs of the profiled study, or those of a step."""
    return sorted(path.stem for path in profiles.glob(f"{step}*.profile"))


def plan_strikes(folder: Path, profiles: Path, seed: int, strikes: int, step: str = "") -> None:
    """For every job of a step (or of all), `strikes` moments, each with another signal and another kind of moment."""
    for job in jobs(profiles, step):
        counts = json.loads((profiles / f"{job}.profile").read_text())
        for number in range(strikes):
            digest = hashlib.sha256(f"{seed} {job} {number}".encode()).digest()
            share = int.from_bytes(digest[:4], "big") / 2**32
            kind = KINDS[(seed + number) % 3]
            at = share * counts[kind] if kind == "second" else 1 + int(share * counts[kind])
            which = SIGNALS[(digest[4] + number) % 3]
            plan = {"signal": int(which), "when": kind, "at": at}
            (folder / f"{job}.plan{number}").write_text(json.dumps(plan))


def noted(folder: Path, what: str) -> list[str]:
    """The jobs that `began` or were `struck`, in order, each as often as that happened."""
    notes = folder / "notes"
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{what} ")]


def step_of(command: str) -> str:
    """The step and its arguments of a rule's command, `… -m workflow_scripts.runtime.warm --… … STEP … &> log`."""
    return re.search(r"workflow_scripts\.runtime\.warm (?:--\S+ \S+ )*(.*?) &>", command)[1]


def job_of(command: str) -> str:
    """The job's name of a rule's command."""
    words = step_of(command).split()
    return words[0] + "-" + hashlib.sha256(re.sub(THREADS, "", " ".join(words)).encode()).hexdigest()[:12]
