"""The commands of README.md and docs/, run in the order of their pages, in a project whose tiny study is finished."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.helpers.documents import DOCS, Block, blocks_of, pages
from tests.helpers.projects import run_in

pytestmark = pytest.mark.workflow

DEMO = "mimic-iii-demo"
RUN = [
    pytest.param(path, id=path.name, marks=() if path.name == "README.md" else pytest.mark.acceptance)
    for path in pages()
    if any(block.is_shell and block.mark in ("run", "run on the demo") for block in blocks_of(path))
]
SERIES = "time,value\n" + "".join(f"2031-05-17 {hour:02}:00,{80 + hour % 5}\n" for hour in range(24))


@pytest.fixture(scope="module")
def reader(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished study, with a series of one's own."""
    folder = tmp_path_factory.mktemp("reader") / "project"
    shutil.copytree(project, folder, symlinks=True)
    (folder / "series.csv").write_text(SERIES)
    return folder


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_the_page_run(page: Path, reader: Path) -> None:
    for block in blocks_of(page):
        if block.mark.startswith("file: "):
            path = reader / block.mark.removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(on_these_data(block), encoding="utf-8")
        elif block.is_shell and block.mark in ("run", "run on the demo"):
            run_in(reader, "bash", "-euo", "pipefail", "-c", on_these_data(block), **demo())


def on_these_data(block: Block) -> str:
    """A block's text; where the open demo is not here, its name becomes that of the simulated data."""
    return block.text if demo() else block.text.replace(DEMO, "simulated")


def demo() -> dict[str, Any]:
    """The variable that names the folder of the open demo, where that is here."""
    folder = os.environ.get("MIMIC_DEMO_DIR", "")
    return {"MIMIC_DEMO_DIR": folder} if folder and Path(folder).is_dir() else {}


def test_the_reference_of_tables_names_the_columns_of_the_files(project: Path) -> None:
    tables = (DOCS / "tables.md").read_text(encoding="utf-8")
    windows = pq.read_schema(project / "data/simulated/windows/sepsis3/heart_rate.parquet")
    written = {
        "Cohorts": pq.read_schema(project / "data/simulated/cohorts/sepsis3.parquet").names,
        "Windows": windows.names,
        "vitals": pq.read_schema(project / "data/simulated/events/vitals.parquet").names,
        "labevents": pq.read_schema(project / "data/simulated/events/labevents.parquet").names,
    }
    for path in (project / "results/simulated/summary").glob("*.csv"):
        written[path.name] = path.read_text(encoding="utf-8").partition("\n")[0].split(",")
    for name, columns in written.items():
        section = re.split(r"^#", tables.partition(f"# {name}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
        first = section.partition("|---|---|\n")[2].partition("\n\n")[0]
        assert re.findall(r"^\| `(\w+)`", first, flags=re.MULTILINE) == columns, name
    assert len(written) > 6


def test_the_reference_names_the_keys_of_a_run_s_record(project: Path) -> None:
    path = next((project / "results/simulated/runs").glob("*/*/*/lora-*/seed*/run.json"))
    record = json.loads(path.read_text(encoding="utf-8"))
    section = (DOCS / "tables.md").read_text(encoding="utf-8").partition("## The record of a run\n")[2]
    keys = re.findall(r"^\| `([^`]+)` ", section.partition("<!-- end -->")[0], flags=re.MULTILINE)
    assert {key.partition(".")[0].removesuffix("[]") for key in keys} == set(record)
    for group in {key.partition(".")[0] for key in keys if "." in key and "[]." not in key}:
        listed = {key.split(".")[1].removesuffix("[]") for key in keys if key.startswith(f"{group}.")}
        assert listed == set(record[group]), group
