"""One vital sign of one cohort, cut into windows."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.content import tables_fingerprint
from workflow_scripts.runtime.csv_rows import header_of, rows_as_csv
from workflow_scripts.runtime.files import read_json, require_own_file, write_text
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.sources.mimic_iii.items import vital_sign
from workflow_scripts.windows import making
from workflow_scripts.windows.checks import check_tables
from workflow_scripts.windows.findings import findings_file, write_findings
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import Covariate
from workflow_scripts.windows.selection_table import SelectionRow


def warnings_of(parameters: WindowParameters) -> list[str]:
    """What makes every result on these windows better than it is."""
    found = []
    if parameters.split == "by_window_leaky":
        found.append(
            "split: by_window_leaky puts windows of one stay into train and test: "
            "the errors are too small for new patients"
        )
    if parameters.smoothing != "none":
        found.append(
            f"smoothing: {parameters.smoothing} reads one step ahead: a context knows the first step of its horizon, "
            "and the errors are too small for what is charted"
        )
    return found


def make_windows(
    values: Annotated[
        Path, Option(help="long table (Parquet): icustay_id, charttime, vital, value (natural unit)")
    ],
    cohort: Annotated[Path, Option(help="cohort table (Parquet)")],
    vital: Annotated[str, Option(help="vital sign, a name of items.yaml")],
    settings: Annotated[
        Path, Option(help="JSON file of the step's settings: the group `windows`, and `plausible_ranges`")
    ],
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
    stays, patients, deaths in hospital and windows that each rule leaves. What is unusual in the data
    (docs/check-data.md) is printed, and written beside the windows as <vital>.check.json. With `plausible_ranges`,
    values outside the range of items.yaml are left out.

    Example:
        python -m workflow_scripts.steps.make_windows --values data/simulated/events/vitals.parquet \\
            --cohort data/simulated/cohorts/sepsis3.parquet --vital heart_rate \\
            --settings data/simulated/settings/make_windows.json --reading data/simulated/events/reading.json \\
            --output heart_rate.parquet --attrition heart_rate.attrition.csv
    """
    require_own_file(output)
    require_own_file(attrition, begins=header_of(SelectionRow))
    read = read_settings(settings)
    parameters = WindowParameters(**read["windows"])
    sign, *others = (vital_sign(name) for name in (vital, *parameters.covariates_of(vital)))
    # Before anything is read, so that what changes meanwhile is told from what was read.
    source = read_json(reading)["source"] if reading else tables_fingerprint(values, cohort)
    findings = check_tables(values, cohort, [sign, *others], parameters, left_out=read["plausible_ranges"])
    for finding in findings:
        print(f"{finding.level}\n{finding.text()}", file=sys.stderr)
    windows, rows = making.make_windows(
        values,
        cohort,
        vital,
        parameters,
        sign.unit,
        sign.scale_low,
        sign.scale_high,
        [Covariate(other.name, other.unit, other.scale_low, other.scale_high) for other in others],
        source,
        {each.name: each.plausible for each in (sign, *others)} if read["plausible_ranges"] else {},
    )
    write_text(attrition, rows_as_csv(SelectionRow, rows))
    making.write_windows(output, windows)
    write_findings(findings_file(output), findings)
    for warning in warnings_of(parameters):
        print(f"warning: {warning}", file=sys.stderr)
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
