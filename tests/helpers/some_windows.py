"""Windows that need no data set."""

import numpy as np

from tests.helpers.identifiers import as_names
from workflow_scripts.windows.reading import WindowMetadata, Windows


def some_windows(count: int = 60) -> Windows:
    """Windows of one patient each; the target is the context's last value plus 10."""
    context = np.random.default_rng(1).normal(80, 5, (count, 24)).astype(np.float32)
    numbers = np.arange(count)
    return Windows(
        context=context,
        target=np.repeat(context[:, -1:] + 10, 12, axis=1),
        start=numbers * 3600,
        split=np.array(["train", "validation", "test"])[numbers % 3],
        hours_from_onset=np.full(count, np.nan, np.float32),
        steps_since_observed=np.zeros(count, np.int64),
        covariates=np.zeros((count, 0, 24), np.float32),
        window_id=numbers,
        subject_id=as_names(numbers),
        icustay_id=as_names(numbers),
        metadata=WindowMetadata("heart_rate", "bpm", 0.0, 300.0, 60, 24, 12, "by_patient"),
    )
