"""Small handmade hospitals for the window tests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.making import make_windows
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import Windows
from workflow_scripts.windows.selection_table import SelectionRow

ADMITTED = pd.Timestamp("2130-05-17 22:47:00")


@dataclass
class Ward:
    """A cohort table and a long table of values, grown stay by stay, written as Parquet."""

    folder: Path

    def __post_init__(self) -> None:
        self.stays: list[dict[str, Any]] = []
        self.values: list[dict[str, Any]] = []

    def add(
        self,
        stay: int,
        series: list[float],
        *,
        patient: int | None = None,
        minutes: int = 60,
        died: bool = False,
        included: bool = True,
        onset_hour: float | None = None,
    ) -> "Ward":
        """Add a stay with one value in the middle of each grid step; NaN adds none."""
        self.stays.append(
            {
                "subject_id": stay if patient is None else patient,
                "icustay_id": stay,
                "intime": ADMITTED,
                "outtime": ADMITTED + pd.Timedelta(minutes=minutes * len(series)),
                "died_in_hospital": died,
                "included": included,
                "onset": pd.NaT if onset_hour is None else ADMITTED + pd.Timedelta(hours=onset_hour),
            }
        )
        for step, value in enumerate(series):
            if not np.isnan(value):
                self.chart(stay, (step + 0.5) * minutes, value)
        return self

    def chart(self, stay: int, minute: float, value: float, vital: str = "heart_rate") -> "Ward":
        """Add one value, `minute` minutes after the admission."""
        time = ADMITTED + pd.Timedelta(minutes=minute)
        self.values.append({"icustay_id": stay, "charttime": time, "vital": vital, "value": value})
        return self

    def write(self, shuffle: int | None = None) -> tuple[Path, Path]:
        """Return the paths of the values and of the cohort; `shuffle` is the seed of another row order."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values, stays = pd.DataFrame(self.values), pd.DataFrame(self.stays)
        if shuffle is not None:
            values, stays = (table.sample(frac=1, random_state=shuffle) for table in (values, stays))
        paths = self.folder / "vitals.parquet", self.folder / "cohort.parquet"
        for table, path in zip((values, stays), paths, strict=True):
            table.to_parquet(path, index=False, coerce_timestamps="us")
        return paths

    def windows(self, shuffle: int | None = None, **parameters: Any) -> Windows:
        """Make the windows of heart rate."""
        values, cohort = self.write(shuffle)
        return make_windows(values, cohort, "heart_rate", WindowParameters(**parameters), "bpm", 0, 300)[0]

    def selection(self, **parameters: Any) -> list[SelectionRow]:
        """What each rule for windows of heart rate leaves."""
        values, cohort = self.write()
        return make_windows(values, cohort, "heart_rate", WindowParameters(**parameters), "bpm", 0, 300)[1]


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path / "ward")


@pytest.fixture(scope="session")
def new_ward(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Ward]:
    """Give a function that makes an empty ward: for tests that make several."""
    return lambda: Ward(tmp_path_factory.mktemp("ward"))


@pytest.fixture
def user_error() -> Callable[[Callable[[], Any]], UserError]:
    """Give a function that runs an action and returns the UserError that it must raise."""

    def catch(action: Callable[[], Any]) -> UserError:
        with pytest.raises(UserError) as caught:
            action()
        return caught.value

    return catch
