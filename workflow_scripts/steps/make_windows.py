"""Cut one vital sign of one cohort into windows of context and horizon, split into train, validation, test.

Windows hold natural units on a grid of equal steps; what was not observed is missing.

Example:
    python -m workflow_scripts.steps.make_windows --values data/simulated/events/vitals.parquet \\
        --cohort data/simulated/cohorts/sepsis3.parquet --vital heart_rate \\
        --settings data/simulated/settings/make_windows.json --output heart_rate.parquet
"""

import argparse
from pathlib import Path

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.sources.mimic_iii.items import VitalSign, load_vital_signs
from workflow_scripts.windows.making import make_windows, write_windows
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import Covariate


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--values",
        type=Path,
        required=True,
        help="long table (Parquet): icustay_id, charttime, vital, value (natural unit)",
    )
    parser.add_argument("--cohort", type=Path, required=True, help="cohort table (Parquet)")
    parser.add_argument("--vital", required=True, help="vital sign, a name of the concept dictionary")
    parser.add_argument(
        "--settings", type=Path, required=True, help="JSON file of the step's settings: the group windows"
    )
    parser.add_argument("--output", type=Path, required=True, help="windows file to write (Parquet)")
    return parser


def _concept(vital: str) -> VitalSign:
    concepts = load_vital_signs()
    if vital not in concepts:
        raise UserError(
            f"vital sign '{vital}'",
            "not in the concept dictionary",
            f"one of {', '.join(concepts)}",
            "choose one of these, or add it to workflow_scripts/sources/mimic_iii/items.yaml",
        )
    return concepts[vital]


def _covariate(vital: str) -> Covariate:
    concept = _concept(vital)
    return Covariate(vital, concept.unit, concept.scale_low, concept.scale_high)


def main() -> None:
    """Parse the command line, make the windows, write them."""
    arguments = _parser().parse_args()
    concept = _concept(arguments.vital)
    parameters = WindowParameters(**read_settings(arguments.settings)["windows"])
    windows = make_windows(
        arguments.values,
        arguments.cohort,
        arguments.vital,
        parameters,
        concept.unit,
        concept.scale_low,
        concept.scale_high,
        [_covariate(name) for name in parameters.covariates_of(arguments.vital)],
    )
    write_windows(arguments.output, windows)


if __name__ == "__main__":
    run_step(main)
