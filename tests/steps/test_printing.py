"""What commands print, and how they end where a reader has left, a package is missing or a file is no YAML."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_yaml
from workflow_scripts.steps import show_summary, verify_results

STEP = """
from workflow_scripts.runtime.step import run_step

def speak() -> None:
    '''Speak.'''
    {body}

run_step(speak)
"""


def ended(body: str, *, reader: str = "cat") -> tuple[int, str, str]:
    """Run a step with this body into a reader, as a shell's pipe does: its status, what was read, its complaints."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    step = subprocess.Popen(
        [sys.executable, "-c", STEP.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=buffered,
        text=True,
    )
    read = subprocess.run([reader], stdin=step.stdout, capture_output=True, text=True, check=False)
    assert step.stdout is not None
    step.stdout.close()
    assert step.stderr is not None
    return step.wait(), read.stdout, step.stderr.read()


@pytest.mark.parametrize("end", ["", "; raise SystemExit(1)"])
@pytest.mark.parametrize("lines", [20, 100_000])
def test_a_reader_that_has_left_is_no_complaint(lines: int, end: str) -> None:
    """Source: `true` reads nothing; `head` leaves after ten lines. A check that found something ends with 1."""
    body = f"import time; time.sleep(0.3); [print('a line of some length', i) for i in range({lines})]"
    for reader in ("true", "head"):
        status, _, complaints = ended(f"{body}{end}", reader=reader)
        assert complaints == ""
        assert status in (0, 1)


def test_what_is_printed_is_read_whole_by_a_reader_that_stays() -> None:
    assert ended("print('x' * 100_000)") == (0, "x" * 100_000 + "\n", "")


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    status, _, complaints = ended("import a_package_of_nobody.module")
    assert status == 1
    assert complaints.startswith("error: Python package a_package_of_nobody\n")
    assert "pip install a_package_of_nobody" in complaints
    assert "Traceback" not in complaints


def test_an_error_in_yaml_is_found_by_line_and_column(tmp_path: Path) -> None:
    """Source: counted in the text below."""
    path = tmp_path / "params.yaml"
    path.write_text("dataset: simulated\nvitals: [heart_rate\nranks: [1]\n", encoding="utf-8")
    for read in (
        lambda: read_yaml(path, "settings"),
        lambda: show_summary.show_summary(path),
        lambda: verify_results.verify_results(path),
    ):
        with pytest.raises(UserError) as refused:
            read()
        assert refused.value.where == f"{path}, line 3, column 6"
    path.write_bytes(b"dataset: \xff\n")
    with pytest.raises(UserError, match="characters that YAML does not allow"):
        read_yaml(path, "settings")
    with pytest.raises(UserError, match="No such file"):
        read_yaml(tmp_path / "none.yaml", "settings")
