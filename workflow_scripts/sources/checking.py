"""What a data set holds, without keeping it: the lines that check_data prints."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.runtime.tables import read_table
from workflow_scripts.sources.contract import check_tables, read_measurements, read_stays
from workflow_scripts.sources.counts import SMALLEST_GROUP, few
from workflow_scripts.sources.mimic_iii.items import VitalSign, load_vital_signs
from workflow_scripts.sources.own_tables import OwnTables
from workflow_scripts.sources.source import Source


def check_source(source: Source, cohorts: list[str], folder: Path) -> Iterator[str]:
    """Read a data set and give a line for what was found and for each vital sign.

    cohorts: of your own tables those that are checked. folder: empty, for the tables that are read.
    Raises UserError for data that cannot be read, or that break the contract.
    """
    values, stays = Path(source.values), folder / "stays.parquet"
    if isinstance(source, OwnTables):
        for cohort in cohorts:
            included = read_stays(Path(source.cohort.format(cohort=cohort)))
            yield f"cohort {cohort}: {few(len(included))} stays are included"
            stays = Path(source.cohort.format(cohort=cohort))
    else:
        values = folder / "vitals.parquet"
        for words, number in source.write_tables(source.raw_folder, folder).items():
            yield f"{few(number)} {words}"
    signs = load_vital_signs()
    check_tables(values, stays, list(signs))
    yield from _vital_lines(values, signs)
    yield from source.limits


def tables_of(source: Source, cohorts: list[str], folder: Path) -> tuple[Path, dict[str, Path]]:
    """Return the values and the cohort tables that `check_source` read; of a source other than your own, all stays.

    folder: the one that it wrote its tables into.
    """
    if isinstance(source, OwnTables):
        return Path(source.values), {name: Path(source.cohort.format(cohort=name)) for name in cohorts}
    stays = pq.read_table(folder / "stays.parquet")
    everyone = stays.append_column("included", pa.array([True] * len(stays)))
    pq.write_table(everyone, folder / "all.parquet")
    return folder / "vitals.parquet", {"all stays": folder / "all.parquet"}


def _vital_lines(values: Path, signs: dict[str, VitalSign]) -> Iterator[str]:
    remedy = "correct the table (docs/own-data.md)"
    named = set(read_table(values, {"vital": "text"}, remedy)["vital"].unique().to_pylist())
    for vital in (name for name in signs if name in named):
        found = read_measurements(values, vital)
        stays = len(np.unique(found.stay))
        low, middle, high = np.quantile(found.value, [0.01, 0.5, 0.99])
        shown = f"; median {middle:g}, 1 % below {low:g}, 1 % above {high:g} {signs[vital].unit}"
        told = shown if stays >= SMALLEST_GROUP else "; not summarised"
        yield f"{vital}: {few(len(found.value))} values in {few(stays)} stays{told}"
