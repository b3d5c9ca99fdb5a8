"""The rows of <vital>.attrition.csv, beside the windows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SelectionRow:
    """What is left of a cohort after one rule for windows.

    deaths: of the stays, those whose hospital admission ended in death, as far as it is known. windows: None before
    there are any. cut_windows: of the windows, those in whose horizon charting ends.
    """

    rule: str
    stays: int
    patients: int
    deaths: int
    windows: int | None
    cut_windows: int | None
