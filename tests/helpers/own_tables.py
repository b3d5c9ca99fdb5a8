"""Own tables as a hospital would bring them: one made-up vital sign of made-up patients, hourly, with text as names."""

from pathlib import Path

import numpy as np
import pandas as pd

PATIENTS, HOURS = 30, 72


def own_tables(folder: Path, cohort: str = "all", seed: int = 0) -> Path:
    """Write vitals.parquet with heart rates around 80, and one cohort of all stays; return the folder."""
    random = np.random.default_rng(seed)
    stay, intime = np.arange(1, PATIENTS + 1), pd.date_range("2024-01-01", periods=PATIENTS, freq="5h")
    names = [f"{number:04}" for number in stay]
    hours = pd.to_timedelta(np.tile(np.arange(HOURS), PATIENTS), "h")
    values = pd.DataFrame(
        {
            "icustay_id": np.repeat(names, HOURS),
            "charttime": np.repeat(intime, HOURS) + hours,
            "vital": "heart_rate",
            "value": (80 + 10 * random.standard_normal(PATIENTS * HOURS)).round(1),
        }
    )
    stays = pd.DataFrame(
        {
            "subject_id": names,
            "icustay_id": names,
            "intime": intime,
            "outtime": intime + pd.Timedelta(hours=HOURS),
            "died_in_hospital": stay % 5 == 0,
            "included": True,
            "onset": intime + pd.Timedelta(hours=10),
        }
    )
    (folder / "cohorts").mkdir(parents=True)
    values.to_parquet(folder / "vitals.parquet", index=False, coerce_timestamps="us")
    stays.to_parquet(folder / "cohorts" / f"{cohort}.parquet", index=False, coerce_timestamps="us")
    return folder
