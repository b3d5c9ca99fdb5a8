"""The test windows of one cohort that an adapter of another has not seen: splits are made for each cohort."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.reading import WindowMetadata, Windows, read_windows


@dataclass(frozen=True)
class Unseen:
    """Test windows of patients whom the adapter met neither in training nor in validation.

    kept: [all test windows] which of them these are. excluded_patients: of the test split, met by the adapter.
    """

    windows: Windows
    kept: NDArray[np.bool_]
    excluded_patients: int

    @property
    def excluded_windows(self) -> int:
        """Test windows of the patients that are left out."""
        return int((~self.kept).sum())


def read_unseen(evaluated_on: Path, trained_on: Path) -> Unseen:
    """Read the test split of one windows file without the patients of train and validation of another.

    Raises UserError where the two files are of another vital sign, unit, scale, grid, context or horizon.
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
    kept = ~np.isin(test.subject_id, own.subject_id)
    return Unseen(take(test, kept), kept, len(np.unique(test.subject_id[~kept])))


def take(windows: Windows, kept: NDArray[np.bool_]) -> Windows:
    """Some of the windows, in their order."""
    columns = {field.name: getattr(windows, field.name) for field in fields(windows)}
    chosen: dict[str, Any] = {
        name: column[kept] for name, column in columns.items() if isinstance(column, np.ndarray)
    }
    return replace(windows, **chosen)


def _shape(metadata: WindowMetadata) -> dict[str, object]:
    """What adapter and windows must share; how the patients were split may differ."""
    return {name: value for name, value in asdict(metadata).items() if name != "split_kind"}
