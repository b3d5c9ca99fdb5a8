"""Many processes, each of which tracks two runs, the second while the server goes away.

    python tracking_writers.py URI RECORD [RECORD …]

The first half of the records are first runs, the second half second ones; one process for each pair. When all are in
the middle of their second run, `halfway` is printed; a line on standard input lets them go on. In the end each prints
how many of its two runs MLflow has wholly, as it thinks.
"""

import multiprocessing
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

from workflow_scripts.reporting.run_pages import run_contents
from workflow_scripts.runtime.files import read_json
from workflow_scripts.tracking import track_run
from workflow_scripts.tracking.client import preload


def write(uri: str, first: Path, second: Path, halfway: Barrier, onward: Barrier) -> None:
    """Track two finished runs as the jobs would that made them."""
    problems = []
    for path in (first, second):
        record = read_json(path)
        with track_run(uri, record["key"]) as run:
            if path is second:
                halfway.wait()
                onward.wait()
            run.finish(**vars(run_contents(record, path.parent, stand_in=True)))
        problems.append(run.problems)
    # In one write, or the lines of several processes mix where Python does not buffer.
    sys.stdout.write(f"{problems.count([])}\n")
    sys.stdout.flush()


def main(uri: str, *records: str) -> None:
    """Start the writers from a process that has imported MLflow once."""
    preload(uri)
    paths = [Path(record) for record in records]
    half = len(paths) // 2
    context = multiprocessing.get_context("fork")
    halfway, onward = (context.Barrier(half + 1) for _ in range(2))
    writers = [
        context.Process(target=write, args=(uri, *pair, halfway, onward))
        for pair in zip(paths[:half], paths[half:], strict=True)
    ]
    for writer in writers:
        writer.start()
    halfway.wait()
    print("halfway", flush=True)
    sys.stdin.readline()
    onward.wait()
    for writer in writers:
        writer.join()
    sys.exit(any(writer.exitcode for writer in writers))


if __name__ == "__main__":
    main(*sys.argv[1:])
