"""One vital sign of one cohort, cut into windows."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.csv_rows import header_of, rows_as_csv
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json, require_own_file, write_text
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.sources.mimic_iii.items import VitalSign, load_vital_signs
from workflow_scripts.sources.own_tables import tables_fingerprint
from workflow_scripts.windows import making
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import Covariate
from workflow_scripts.windows.selection import SelectionRow


def _vital_sign(vital: str) -> VitalSign:
    signs = load_vital_signs()
    if vital not in signs:
        raise UserError(
            f"vital sign '{vital}'",
            "not in the dictionary of items",
            f"one of {', '.join(signs)}",
            "choose one of these, or add it to workflow_scripts/sources/mimic_iii/items.yaml",
        )
    return signs[vital]


def _covariate(vital: str) -> Covariate:
    sign = _vital_sign(vital)
    return Covariate(vital, sign.unit, sign.scale_low, sign.scale_high)


def make_windows(
    values: Annotated[
        Path, Option(help="long table (Parquet): icustay_id, charttime, vital, value (natural unit)")
    ],
    cohort: Annotated[Path, Option(help="cohort table (Parquet)")],
    vital: Annotated[str, Option(help="vital sign, a name of items.yaml")],
    settings: Annotated[Path, Option(help="JSON file of the step's settings: the group `windows`")],
    output: Annotated[Path, Option(help="windows file to write (Parquet)")],
    attrition: Annotated[Path, Option(help="table to write (CSV): stays and windows that each rule leaves")],
    reading: Annotated[
        Path | None,
        Option(
            help="reading.json of the step that read the raw files, for the record of what they held (default: the "
            "values and the cohort are the user's own files, and recorded themselves)"
        ),
    ] = None,
) -> None:
    """Cut one vital sign of one cohort into windows of context and horizon, split into train, validation, test.

    Windows hold natural units on a grid of equal steps; what was not observed is missing. The table of attrition counts
    stays, patients, deaths in hospital and windows that each rule leaves.

    Example:
        python -m workflow_scripts.steps.make_windows --values data/simulated/events/vitals.parquet \\
            --cohort data/simulated/cohorts/sepsis3.parquet --vital heart_rate \\
            --settings data/simulated/settings/make_windows.json --reading data/simulated/events/reading.json \\
            --output heart_rate.parquet --attrition heart_rate.attrition.csv
    """
    require_own_file(output)
    require_own_file(attrition, begins=header_of(SelectionRow))
    sign = _vital_sign(vital)
    parameters = WindowParameters(**read_settings(settings)["windows"])
    # Before anything is read, so that what changes meanwhile is told from what was read.
    source = read_json(reading)["source"] if reading else tables_fingerprint(values, cohort)
    windows, rows = making.make_windows(
        values,
        cohort,
        vital,
        parameters,
        sign.unit,
        sign.scale_low,
        sign.scale_high,
        [_covariate(name) for name in parameters.covariates_of(vital)],
        source,
    )
    write_text(attrition, rows_as_csv(SelectionRow, rows))
    making.write_windows(output, windows)
    stratified_by = windows.metadata.stratified_by
    if stratified_by != "died_in_hospital":
        print(f"no deaths are known: the split is stratified by {stratified_by}", file=sys.stderr)
    kind = windows.metadata.subject_kind
    if kind != "patient":
        print(
            f"no patients are known: each {kind} counts as one, so a person can be in two splits",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run_step(make_windows)
