"""A file that is cut short is recognised, whatever its kind, and named where a step fails over it."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from workflow_scripts.runtime.completeness import incomplete_files, incomplete_input, is_complete


def write_one_of_each(folder: Path) -> list[Path]:
    """A complete file of every kind that the workflow makes."""
    pq.write_table(pa.table({"value": list(range(1000))}), folder / "table.parquet")
    save_file({"weight": np.arange(1000.0)}, folder / "model.safetensors")
    (folder / "run.json").write_text(json.dumps({"metrics": {"mse": 1.0}}))
    (folder / "metrics.csv").write_text("model,mse\na,1\nb,2\n")
    (folder / "figure.svg").write_text("<svg><g>text</g></svg>")
    (folder / "report.html").write_text("<html><body>text</body></html>\n")
    (folder / "TABLE.csv.gz").write_bytes(gzip.compress(bytes(range(256)) * 20))
    return sorted(folder.iterdir())


def test_complete_files_are_complete(tmp_path: Path) -> None:
    assert [is_complete(path) for path in write_one_of_each(tmp_path)] == [True] * 7
    assert list(incomplete_files([tmp_path])) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_cut_anywhere_is_incomplete(share: float, tmp_path: Path) -> None:
    files = write_one_of_each(tmp_path)
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)].rstrip(b"\n"))
    assert list(incomplete_files([tmp_path])) == files


STEP = """
from pathlib import Path
from pyarrow.parquet import read_table
from workflow_scripts.runtime.step import run_step

def read_windows(windows: Path):
    read_table(windows)

run_step(read_windows)
"""


def test_a_step_that_fails_over_a_cut_input_names_the_file_instead_of_a_traceback(tmp_path: Path) -> None:
    table = tmp_path / "windows.parquet"
    table.write_bytes(b"PAR1")
    command = [sys.executable, "-c", STEP, str(table)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(table) in done.stderr
    assert "repair_results" in done.stderr


def test_a_failure_with_complete_inputs_is_not_explained_away(tmp_path: Path) -> None:
    assert incomplete_input(["--settings", *map(str, write_one_of_each(tmp_path)), str(tmp_path)]) is None
