"""Benchmark files tell the time and the memory of the job, whether it is forked from a warm server or not."""

import csv
import json
from pathlib import Path

import pytest
from snakemake.benchmark import BenchmarkRecord

from tests.helpers.fault_study import LORA
from tests.helpers.shared_studies import Undisturbed

pytestmark = pytest.mark.workflow

RUN = "run_arm/sepsis3-heart_rate-moirai-nano-lora-r2-seed0"
IMPORTED_TORCH_MIB = 150
"""No process that has imported torch is smaller."""
CLIENT_SECONDS = 0.15
"""No client of a warm server works as long, and no job as short."""


def benchmark(project: Path, job: str) -> dict[str, str]:
    """The one row of a job's benchmark file."""
    path = project / f"logs/simulated/{job}.benchmark.tsv"
    with path.open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        (row,) = rows
        assert rows.fieldnames == BenchmarkRecord.get_header()
    return row


def check_benchmarks(project: Path) -> None:
    """Hold the benchmark file of a run against what the run says of itself, and the files of all rules to one form."""
    measured, record = benchmark(project, RUN), json.loads((project / LORA / "run.json").read_text())
    assert float(measured["max_rss"]) > IMPORTED_TORCH_MIB
    assert float(measured["max_rss"]) == pytest.approx(record["memory"]["peak_host_mib"], rel=0.1)
    assert float(measured["s"]) == pytest.approx(record["seconds"]["total"], abs=1.0)
    # A job of one thread works at most as long as it lasts; on a busy machine it may wait for long.
    assert CLIENT_SECONDS < float(measured["cpu_time"]) < 2 * float(measured["s"])
    for job in ("extract_events", "make_windows/sepsis3-heart_rate", "aggregate_metrics"):
        assert float(benchmark(project, job)["s"]) > 0


def test_a_forked_runs_benchmark_file_tells_of_the_run(project: Path) -> None:
    assert json.loads((project / LORA / "run.json").read_text())["machine"]["forked"]
    check_benchmarks(project)


def test_a_plain_runs_benchmark_file_tells_of_the_run(undisturbed: Undisturbed) -> None:
    assert not json.loads((undisturbed.project / LORA / "run.json").read_text())["machine"]["forked"]
    check_benchmarks(undisturbed.project)
