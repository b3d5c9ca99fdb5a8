"""What a run shows: plain lines in a file, a display on a terminal, a failure with its log, what was made."""

import io
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.runtime.display.handler import ProgressHandler
from workflow_scripts.runtime.display.state import (
    Durations,
    Job,
    RunState,
    benchmark_seconds,
    duration_keys,
)
from workflow_scripts.runtime.display.texts import (
    about,
    duration_text,
    failure,
    own_command,
    position,
    progress_inside,
    summary,
)
from workflow_scripts.runtime.progress import progress

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

TINY_WORKFLOW = """
from workflow_scripts.runtime.display.handler import show_progress

onstart:
    show_progress(workflow)

rule all:
    input: "out/last.txt"

rule make:
    output: "out/{name}.txt"
    log: "logs/{name}.log"
    benchmark: "logs/{name}.benchmark.tsv"
    message: "Make {wildcards.name}"
    shell:
        "(seq 30; if [ -e broken-{wildcards.name} ]; then echo 'error: no such thing'; exit 3; fi; touch {output})"
        " &> {log}"

rule last:
    input: "out/a.txt", "out/b.txt"
    output: "out/last.txt"
    log: "logs/last.log"
    message: "Put it together"
    shell: "touch {output} &> {log}"
"""


def job(number: int, rule: str = "make", begun: float = 0.0, **parts) -> Job:
    return Job(rule, f"job {number}", keys=duration_keys(rule, {}, ""), begun=begun, **parts)


def state_of(count: int, cores: int = 1, seconds: float | None = None) -> RunState:
    """A run of jobs of one rule, of which one is known to have taken some seconds before."""
    state = RunState(planned=[job(0).keys] * count, cores=cores)
    if seconds is not None:
        state.durations.add(job(0).keys, seconds)
    return state


def test_time_left_is_the_work_that_is_left_divided_by_the_cores() -> None:
    state = state_of(4, cores=2, seconds=10.0)
    assert state.seconds_left(0.0) == pytest.approx(4 * 10 / 2)
    for number in (1, 2):
        state.start(number, job(number))
        state.finish(number, 10.0)
    assert state.seconds_left(10.0) == pytest.approx(2 * 10 / 2)


def test_time_left_follows_a_machine_that_is_slower_than_the_record_says() -> None:
    state = state_of(4, seconds=600.0)
    state.start(1, job(1))
    state.finish(1, 1200.0)
    # Three jobs are left, and each will take 1,200 s as the first did.
    assert state.seconds_left(1200.0) == pytest.approx(3 * 1200, rel=0.1)


def test_time_left_is_never_less_than_the_longest_running_job() -> None:
    state = state_of(1, cores=16, seconds=100.0)
    state.start(1, job(1))
    assert state.seconds_left(40.0) >= 60.0


def test_time_left_is_not_invented_before_anything_was_measured() -> None:
    state = state_of(3)
    state.start(1, job(1))
    assert state.seconds_left(5.0) is None
    assert "not known yet" in position(state, 5.0)
    state.finish(1, 6.0)
    assert state.seconds_left(6.0) is not None


def test_time_left_is_not_told_from_the_first_short_job_of_another_kind() -> None:
    state = RunState(planned=[job(0, "prepare").keys] + [job(0, "train").keys] * 3)
    state.durations.add(job(0, "prepare").keys, 1.0)
    assert state.seconds_left(5.0) is None
    state.durations.add(job(0, "train").keys, 100.0)
    assert state.seconds_left(0.0) == pytest.approx(301.0)


def test_a_job_is_expected_to_last_as_long_as_the_most_similar_jobs_did() -> None:
    durations = Durations()
    for arm, seconds in (("full", 30.0), ("full", 50.0), ("lora-r2", 10.0)):
        durations.add(duration_keys("run", {"model": "m", "arm": arm}, ""), seconds)
    assert durations.expected(duration_keys("run", {"model": "m", "arm": "full"}, "")) == 40.0
    assert durations.expected(duration_keys("run", {"model": "m", "arm": "lora-r4"}, "")) == 30.0
    assert durations.expected(duration_keys("other", {}, "")) == 30.0


def test_a_benchmark_file_that_is_missing_or_broken_is_no_duration(tmp_path: Path) -> None:
    path = tmp_path / "job.benchmark.tsv"
    assert benchmark_seconds(path) is None
    path.write_text("s\th:m:s\n1.5\t0:00:01\n2.5\t0:00:02\n")
    assert benchmark_seconds(path) == 2.0
    path.write_bytes(b"\xff\x00 no table")
    assert benchmark_seconds(path) is None


def test_durations_are_said_as_a_person_says_them() -> None:
    expected = {8.2: "8 s", 120: "2 min", 188: "3 min 8 s", 7200: "2 h", 7500: "2 h 5 min"}
    assert {seconds: duration_text(seconds) for seconds in expected} == expected
    assert [about(seconds) for seconds in (3, 44, 109, 188, 9000)] == [
        "a few seconds",
        "about 40 s",
        "about 1 min 50 s",
        "about 3 min",
        "about 2 h 30 min",
    ]


def handler(stream: io.StringIO, state: RunState) -> ProgressHandler:
    return ProgressHandler(logging.StreamHandler(stream), state, ["snakemake"])


def event(name: str, **parts: object) -> logging.LogRecord:
    """A record as Snakemake sends it."""
    known = {"levelno": logging.INFO, "msg": "", "wildcards": {}, "benchmark": None, "shellcmd": "… &> log"}
    known |= {"rule_name": "make", "rule_msg": "a job", "output": [], "log": [], "indent": False}
    return logging.makeLogRecord(known | {"event": name} | parts)


def test_a_long_study_prints_about_a_line_for_each_percent() -> None:
    stream = io.StringIO()
    shown = handler(stream, state_of(500))
    for number in range(500):
        shown.handle(event("job_info", jobid=number))
        shown.handle(event("job_finished", job_id=number))
    assert 90 < len(stream.getvalue().splitlines()) <= 100


def test_a_failure_names_its_log_and_shows_its_last_lines_only(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("\n".join(f"line {number}" for number in range(1000)) + "\n\n")
    text = failure(job(1, logs=(str(log),), ended=8.0), 8.0)
    assert text.startswith(f"FAILED after 8 s: job 1\n  log: {log}, which ends:\n    line 990\n")
    assert text.endswith("line 999")
    assert "empty or missing" in failure(job(1, logs=("nowhere.log",), ended=8.0), 8.0)


def test_how_far_a_job_is_inside_is_read_from_the_lines_that_its_loop_writes(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with log.open("w") as stream:
        steps = progress(range(40), "training", stream=stream)
        for step in steps:
            steps.show_loss(0.5)
            if step == 20:
                assert progress_inside(job(1, logs=(str(log),))) == "training 50 %"
        print("scored 12 windows", file=stream)
    assert progress_inside(job(1, logs=(str(log),))) == ""
    assert progress_inside(job(1)) == progress_inside(job(1, logs=("nowhere.log",))) == ""


def test_the_summary_names_the_page_to_open() -> None:
    state = state_of(1)
    outputs = ("results/simulated/report.html", "results/simulated/figures")
    state.start(1, job(1, "make_report", outputs=outputs))
    state.finish(1, 4.0)
    assert "results/simulated/report.html, results/simulated/figures" in summary(state, 4.0, [])


def test_the_summary_says_what_was_made_what_failed_and_what_did_not_run() -> None:
    state = state_of(5)
    for number in (1, 2, 3):
        state.start(number, job(number, outputs=(f"out/x/{number}.txt",), logs=(f"logs/{number}.log",)))
    state.finish(1, 4.0)
    state.finish(2, 6.0)
    state.fail(3, 7.0)
    text = summary(state, 10.0, ["snakemake", "--cores", "2", "--config", "a={b: 1}"])
    assert text.splitlines() == [
        "Finished 2 of 5 jobs in 10 s.",
        "     2 make          10 s  out/x",
        "Failed: 1 job.",
        "  job 3",
        "    log: logs/3.log",
        "Not run, because what they need failed or stopped: 2 jobs.",
        "To repeat just that:",
        "  snakemake --cores 2 --config 'a={b: 1}' -- out/x/3.txt",
        "To go on with all that is missing: the same command as before; what is done stays.",
    ]


def test_many_failures_are_listed_shortly(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("error: the same as before\n")
    state = state_of(300)
    for number in range(300):
        state.start(number, job(number, logs=(str(log),), outputs=(f"out/{number}.txt",)))
        state.fail(number, 1.0)
    assert failure(job(1, logs=(str(log),)), 1.0, earlier=200) == f"FAILED after 1 s: job 1\n  log: {log}"
    text = summary(state, 10.0, ["snakemake"])
    assert "Failed: 300 jobs." in text
    assert "and 280 more" in text
    assert "To repeat the first 5 of them:\n  snakemake -- out/0.txt out/1.txt" in text
    assert len(text.splitlines()) < 50


def test_the_repeating_command_keeps_the_options_and_drops_targets_and_force() -> None:
    given = ["/bin/snakemake", "--cores", "2", "-F", "--config", "dataset=x", "--", "data", "weights"]
    assert own_command(given, {"data", "weights"}) == ["snakemake", "--cores", "2", "--config", "dataset=x"]


def test_a_message_that_cannot_be_shown_stops_neither_the_run_nor_what_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.StringIO()
    shown = handler(stream, state_of(2))
    shown.handle(event("job_info", jobid=1, output=None))
    assert "Logging error" in capsys.readouterr().err
    shown.handle(event("job_info", jobid=2, rule_msg="another job"))
    assert "now another job" in stream.getvalue()


def test_what_is_said_in_no_better_way_is_shown_as_snakemake_words_it() -> None:
    stream = io.StringIO()
    shown = handler(stream, state_of(1))
    shown.handle(logging.makeLogRecord({"levelno": logging.INFO, "msg": "Trying to restart job 3."}))
    shown.handle(logging.makeLogRecord({"levelno": logging.INFO, "msg": "Select jobs to execute..."}))
    assert stream.getvalue() == "Trying to restart job 3.\n"


def test_of_a_group_that_failed_on_a_cluster_the_jobs_that_were_done_are_not_called_failed(
    tmp_path: Path,
) -> None:
    """Snakemake's GroupJob.log_error reports every member with `indent`."""
    stream = io.StringIO()
    shown = handler(stream, state_of(2))
    (tmp_path / "a").touch()
    for number, name in enumerate("ab"):
        files = {"output": [str(tmp_path / name)], "log": [str(tmp_path / f"{name}.log")]}
        shown.handle(event("job_info", jobid=number, rule_msg=name, **files))
        shown.handle(event("job_error", jobid=number, indent=True, **files))
    text = stream.getvalue()
    assert "done, but its group has failed and is repeated as a unit: a\n" in text
    assert re.findall(r"FAILED after .*: (\w)\n", text) == ["b"]


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    """A workflow of three jobs, one of which fails."""
    (tmp_path / "Snakefile").write_text(TINY_WORKFLOW)
    (tmp_path / "broken-b").touch()
    return tmp_path


def run_plain(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as continuous integration does, with output that is no terminal."""
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "xterm"}


@pytest.mark.workflow
@pytest.mark.acceptance
def test_a_failed_run_is_told_in_plain_lines_and_repeated_by_the_command_it_names(workflow: Path) -> None:
    done = run_plain(workflow, "snakemake --cores 1 --keep-going --quiet host")
    assert done.returncode == 1
    assert not CONTROL.search(done.stderr)
    lines = done.stderr.splitlines()
    assert re.search(r"make +2\nlast +1\n", done.stderr)
    assert any(re.fullmatch(r"\d of 3 jobs done, .*; now Make b", line) for line in lines)
    place = next(number for number, line in enumerate(lines) if line.startswith("FAILED after"))
    assert lines[place].endswith(": Make b")
    assert lines[place + 1] == "  log: logs/b.log, which ends:"
    assert lines[place + 11] == "    error: no such thing"
    assert "Finished 1 of 3 jobs in" in done.stderr
    assert "Not run, because what they need failed or stopped: 1 job." in lines
    assert len(lines) - place <= 25
    assert "Traceback" not in done.stderr

    again = lines[lines.index("To repeat just that:") + 1].strip()
    assert again == "snakemake --cores 1 --keep-going --quiet host -- out/b.txt"
    (workflow / "broken-b").unlink()
    repeated = run_plain(workflow, again)
    assert repeated.returncode == 0, repeated.stderr
    assert "Finished 1 job in" in repeated.stderr
    assert (workflow / "out/b.txt").exists()
    assert not (workflow / "out/last.txt").exists()


@pytest.mark.workflow
@pytest.mark.acceptance
@pytest.mark.parametrize("option", ["--quiet rules", "--verbose"])
def test_who_asks_snakemake_for_less_or_more_gets_snakemakes_own_messages(
    workflow: Path, option: str
) -> None:
    (workflow / "broken-b").unlink()
    done = run_plain(workflow, f"snakemake --cores 1 {option}")
    assert done.returncode == 0
    assert re.search(r"\d of \d steps \(100%\) done", done.stderr)
    assert "jobs done" not in done.stderr
    assert "Finished 3 jobs" not in done.stderr


@pytest.mark.workflow
def test_a_terminal_shows_what_runs_and_ends_with_the_summary(workflow: Path) -> None:
    (workflow / "broken-b").unlink()
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        ["snakemake", "--cores", "1", "--quiet", "host"],
        cwd=workflow,
        env={**environment(), "COLUMNS": "100", "LINES": "40"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = read_all(reader)
    assert process.wait() == 0, shown
    assert "\x1b[" in shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "of 3 jobs done" in text
    assert "Make a" in text
    end = text[text.rindex("Finished 3 jobs in") :].splitlines()
    assert [line.split()[:2] for line in end[1:3]] == [["2", "make"], ["1", "last"]]


@pytest.mark.workflow
def test_a_run_goes_on_when_nobody_reads_its_messages_any_more(workflow: Path) -> None:
    (workflow / "broken-b").unlink()
    command = ["snakemake", "--cores", "1"]
    process = subprocess.Popen(command, cwd=workflow, env=environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "0 of 3 jobs done" in line:
            break
    process.stderr.close()
    assert process.wait() == 0
    assert (workflow / "out/last.txt").exists()


def read_all(reader: int) -> str:
    """What a terminal was shown until the last process that held it ended."""
    shown = b""
    while True:
        try:
            read = os.read(reader, 65536)
        except OSError:  # How Linux says that the other end is closed.
            break
        if not read:
            break
        shown += read
    os.close(reader)
    return shown.decode(errors="replace")
