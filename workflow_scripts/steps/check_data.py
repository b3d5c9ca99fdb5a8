"""A data set's raw files, read and checked without keeping anything."""

import tempfile
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.steps.check_mimic import check_mimic


def check_data(
    dataset: Annotated[str, Option(help="name of the data set")],
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON): `source` is the data set's entry in `sources:`; `cohorts`, "
            "`vitals`, `windows` and `plausible_ranges` are the study's"
        ),
    ],
) -> None:
    """Read a data set and print what was found: counts, each vital sign, what is unusual, what the data cannot tell.

    Prints counts and shares, never a value of a patient (docs/check-data.md). Ends with exit code 1 where a finding is
    an error, and with one message where the files cannot be read or break the contract. For MIMIC-III's tables this
    is check_mimic. What is unusual is also told before windows are cut, and in the report.

    Example:
        python -m workflow_scripts.steps.check_data --dataset challenge-2019 \\
            --settings data/challenge-2019/settings/check_data.json
    """
    from workflow_scripts.sources.checking import check_source, tables_of
    from workflow_scripts.sources.mimic_iii.items import vital_sign
    from workflow_scripts.sources.parameters import SourceParameters
    from workflow_scripts.sources.source import source_of
    from workflow_scripts.windows.checks import check_tables
    from workflow_scripts.windows.parameters import WindowParameters

    read = read_settings(settings)
    source = source_of(dataset, SourceParameters(**read["source"]))
    source.plausible_ranges = False  # So that they are told by vital sign.
    if source.labels_cohorts:
        check_mimic(source.raw_folder)
        return
    parameters, signs = WindowParameters(**read["windows"]), [vital_sign(name) for name in read["vitals"]]
    errors = 0
    with tempfile.TemporaryDirectory() as folder:
        for line in check_source(source, read["cohorts"], Path(folder)):
            print(line)
        values, cohorts = tables_of(source, read["cohorts"], Path(folder))
        for name, cohort in cohorts.items():
            findings = check_tables(values, cohort, signs, parameters, left_out=read["plausible_ranges"])
            print(f"{name}: {len(findings) or 'no'} findings in {', '.join(read['vitals'])}")
            for finding in findings:
                print(f"{finding.level}\n{finding.text()}")
            errors += sum(finding.level == "error" for finding in findings)
    if errors:
        raise SystemExit(1)


if __name__ == "__main__":
    run_step(check_data)
