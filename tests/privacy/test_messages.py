"""What is wrong with a table is said without a value of it."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.patient_data import assert_message_without_patient_data
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.checks.folder import check_folder
from workflow_scripts.sources.mimic_iii.extraction import extract_events
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters, SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic

Lines = list[str]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    simulate_mimic(SimulatorParameters(patients=20, seed=3), folder)
    return folder


def set_field(lines: Lines, column: str, change: Callable[[str], str]) -> Lines:
    """Change a column of every tenth row."""
    place = lines[0].replace('"', "").split(",").index(column)
    for number in range(1, len(lines), 10):
        fields = lines[number].split(",")
        fields[place] = change(fields[place])
        lines[number] = ",".join(fields)
    return lines


FAULTS: dict[str, tuple[str, Callable[[Lines], Lines]]] = {
    "a short line": ("CHARTEVENTS", lambda lines: [*lines[:5], lines[5].rpartition(",")[0], *lines[6:]]),
    "a long line": ("ICUSTAYS", lambda lines: [*lines[:3], lines[3] + "," + lines[3], *lines[4:]]),
    "an open quote": ("ADMISSIONS", lambda lines: [*lines[:2], '"' + lines[2], *lines[3:]]),
    "letters in an identifier": (
        "ICUSTAYS",
        lambda lines: set_field(lines, "ICUSTAY_ID", lambda text: f"x{text}"),
    ),
    "a time that is none": (
        "ICUSTAYS",
        lambda lines: set_field(lines, "INTIME", lambda text: f"{text} o'clock"),
    ),
    "a number that is none": (
        "CHARTEVENTS",
        lambda lines: set_field(lines, "VALUENUM", lambda text: f"{text}?"),
    ),
    "rows twice": ("ICUSTAYS", lambda lines: [*lines, *lines[1:]]),
    "identifiers of nobody": (
        "ADMISSIONS",
        lambda lines: set_field(lines, "SUBJECT_ID", lambda text: text[::-1]),
    ),
    "ends before beginnings": (
        "ICUSTAYS",
        lambda lines: set_field(lines, "OUTTIME", lambda text: "2400" + text[4:]),
    ),
    "no header": ("PATIENTS", lambda lines: lines[1:]),
    "another table": ("PATIENTS", lambda lines: ["a,b,c", *lines[1:]]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_neither_the_check_nor_the_extraction_quotes_a_damaged_row(
    raw: Path, tmp_path: Path, fault: str
) -> None:
    table, damage = FAULTS[fault]
    folder = tmp_path / "raw"
    shutil.copytree(raw, folder)
    path = folder / f"{table}.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("\n".join(damage(lines)).encode()))
    said = []
    try:
        report = check_folder(folder)
        said += [report.as_text(), json.dumps(report.as_json())]
        extract_events(folder, tmp_path / "events", ExtractionParameters())
    except UserError as error:
        said.append(str(error))
    assert table in "".join(said)
    assert_message_without_patient_data("\n".join(said))


def test_a_message_that_quoted_a_row_would_be_noticed(raw: Path) -> None:
    line = gzip.decompress((raw / "ICUSTAYS.csv.gz").read_bytes()).decode().splitlines()[1]
    with pytest.raises(
        AssertionError, match=r"identifier of a simulated patient.*date of a simulated patient"
    ):
        assert_message_without_patient_data(f"line 2: {line}")
