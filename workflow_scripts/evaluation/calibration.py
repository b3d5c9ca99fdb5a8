"""How often the truth lies below each forecast quantile: calibration.csv."""

from collections.abc import Iterator, Sequence

import numpy as np

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.patient_sums import WindowScores
from workflow_scripts.evaluation.point_forecasts import forecasts_a_point
from workflow_scripts.evaluation.summary import CalibrationRow


def calibration_rows(arm: ArmSummary, scores: Sequence[WindowScores]) -> Iterator[CalibrationRow]:
    """The rows of one arm, none where it forecasts a point. scores: of its runs, one for each seed."""
    first = arm.first
    if forecasts_a_point(first.model, arm.arm):
        return
    observed = np.mean([run.below for run in scores], axis=0).tolist()
    for level, share in zip(scores[0].levels, observed, strict=True):
        yield CalibrationRow(
            cohort=first.cohort,
            vital=first.vital,
            model=first.model,
            arm=first.arm,
            level=level,
            seeds=len(arm.runs),
            patients=len(np.unique(scores[0].patient)),
            windows=len(scores[0].patient),
            observed=None if arm.failed else share,
            reason=arm.reason if arm.failed else "",
        )
