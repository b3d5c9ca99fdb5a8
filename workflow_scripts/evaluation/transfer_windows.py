"""The test windows of one cohort for an adapter of another: of patients whom the adapter has not seen."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.reading import WindowMetadata, Windows, read_windows


def read_transfer_windows(evaluated_on: Path, trained_on: Path, *, same_dataset: bool = True) -> Windows:
    """Read the test split of one windows file, for an adapter that was trained on the windows of another.

    A patient is in the same split in every cohort of a data set, so that none of them is in train or validation of the
    other file. same_dataset: whether both files are of one data set; identifiers of two say nothing of each other.
    Raises UserError where one is, and where the two files are of another vital sign, unit, scale, grid,
    context or horizon.
    """
    test = read_windows(evaluated_on, ("test",))
    own = read_windows(trained_on, ("train", "validation"))
    differing = [name for name, value in _shape(test.metadata).items() if _shape(own.metadata)[name] != value]
    if differing:
        raise UserError(
            str(evaluated_on),
            f"windows with another {', '.join(differing)} than {trained_on}",
            "windows of the same vital sign and geometry for both cohorts",
            "make both files with the same settings (make_windows)",
        )
    if not same_dataset:
        return test
    patients = np.unique(test.subject_id)
    seen = int(np.isin(patients, own.subject_id).sum())
    if seen:
        raise UserError(
            str(evaluated_on),
            f"{seen} of {len(patients)} test patients are in train or validation of {trained_on}",
            "every patient in the same split of both cohorts",
            "make both files with split: by_patient and the same split_seed and fractions, of cohort tables that list "
            "every stay of the data set (`included` says who is studied)",
        )
    return test


def _shape(metadata: WindowMetadata) -> dict[str, object]:
    """What adapter and windows must share; whose windows they are, and how they were split, may differ."""
    of_patients = ("split_kind", "stratified_by", "subject_kind", "source")
    return {name: value for name, value in asdict(metadata).items() if name not in of_patients}
