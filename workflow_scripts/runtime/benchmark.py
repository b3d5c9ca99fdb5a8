"""A job's benchmark file in the form of Snakemake's `benchmark:`, written by the job itself.

Snakemake samples the process that it starts and its descendants. The child of a warm server is none of them.
"""

import resource
import time
from datetime import timedelta
from pathlib import Path

from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.machine import peak_host_mib
from workflow_scripts.runtime.process import began

COLUMNS = (
    "s",
    "h:m:s",
    "max_rss",
    "max_vms",
    "max_uss",
    "max_pss",
    "io_in",
    "io_out",
    "mean_load",
    "cpu_time",
)
"""Snakemake's columns (snakemake.benchmark.BenchmarkRecord): seconds, MiB, MiB read and written, percent, seconds."""

MIB_PER_BLOCK = 512 / 2**20


def write_benchmark(path: Path) -> None:
    """Write what this process has used since its command began, its ended children included.

    NA, Snakemake's own mark, stands for what the kernel does not count.
    """
    seconds = time.perf_counter() - began()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    measured = {
        "s": f"{seconds:.4f}",
        "h:m:s": str(timedelta(seconds=int(seconds))),
        "max_rss": f"{peak_host_mib():.2f}",
        "io_in": f"{sum(one.ru_inblock for one in used) * MIB_PER_BLOCK:.2f}",
        "io_out": f"{sum(one.ru_oublock for one in used) * MIB_PER_BLOCK:.2f}",
        "mean_load": f"{100 * cpu / seconds:.2f}",
        "cpu_time": f"{cpu:.2f}",
    }
    row = [measured.get(column, "NA") for column in COLUMNS]
    write_text(path, "\t".join(COLUMNS) + "\n" + "\t".join(row) + "\n")
