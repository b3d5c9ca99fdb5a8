"""What a forecast of events has to beat: the last value, a logistic regression and others, on the same windows."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.judging import FEWEST_PATIENTS
from workflow_scripts.evaluation.events.run_probabilities import EventScore, Forecasts, event_score
from workflow_scripts.evaluation.events.tasks import EventTask
from workflow_scripts.windows.reading import Windows

Array = NDArray[np.float64]

LAST_VALUE, LAST_VALUE_LOGISTIC, CONTEXT_MEAN, CHANGES, LOGISTIC, PREVALENCE = (
    "last-value",
    "last-value-logistic",
    "context-mean",
    "last-value-and-changes",
    "logistic-regression",
    "prevalence",
)
BASELINES = (LAST_VALUE, LAST_VALUE_LOGISTIC, CONTEXT_MEAN, CHANGES, LOGISTIC, PREVALENCE)
"""Names in the tables. The last value and the mean only rank the windows; the others give probabilities."""

LAST_ONLY = 1
"""The first feature of the logistic regression alone: the last value."""

CHANGE_LEVELS = tuple(np.round(np.arange(0.05, 1, 0.05), 2).tolist())


@dataclass(frozen=True)
class Splits:
    """The windows of one cohort and vital sign."""

    train: Windows
    validation: Windows
    test: Windows


@dataclass(frozen=True)
class BaselineScore:
    """Scores of the test and of the validation windows."""

    test: EventScore
    validation: EventScore


def baseline_scores(task: EventTask, splits: Splits) -> dict[str, BaselineScore]:
    """The baselines of a task; without those that the training windows do not suffice for."""
    found = {
        name: BaselineScore(score(task, splits.test), score(task, splits.validation))
        for name, score in ((LAST_VALUE, _last_value), (CONTEXT_MEAN, _context_mean))
    }
    if changes := _changes(task, splits):
        found[CHANGES] = changes
    labels = task.labels(splits.train)
    rows = task.eligible(splits.train) & ~np.isnan(labels)
    with_event = len(np.unique(splits.train.subject_id[rows & (labels == 1)]))
    if with_event >= FEWEST_PATIENTS and (labels[rows] == 0).any():
        for name, number in ((LAST_VALUE_LOGISTIC, LAST_ONLY), (LOGISTIC, None)):
            predict = fit_logistic(task, splits.train, rows, labels, number)
            found[name] = BaselineScore(
                *(_probability(predict(each)) for each in (splits.test, splits.validation))
            )
    if rows.any():
        share = float(labels[rows].mean())
        found[PREVALENCE] = BaselineScore(
            *(_probability(np.full(len(each), share)) for each in (splits.test, splits.validation))
        )
    return {name: found[name] for name in BASELINES if name in found}


def _probability(values: Array) -> EventScore:
    return EventScore(values, True, values, values)


def _rank(task: EventTask, values: Array) -> EventScore:
    """Windows ranked by a value: the lower, the likelier a low event."""
    ranked = -values if task.condition.is_low else values
    return EventScore(ranked, False, ranked, ranked)


def _last_value(task: EventTask, windows: Windows) -> EventScore:
    return _rank(task, windows.context[:, -1].astype(np.float64))


def _context_mean(task: EventTask, windows: Windows) -> EventScore:
    return _rank(task, _quietly(np.nanmean, windows.context))


def _changes(task: EventTask, splits: Splits) -> BaselineScore | None:
    """The last value plus the quantiles of how values changed from it in the training windows."""
    train = splits.train
    eligible = task.eligible(train)
    change = (train.target - train.context[:, -1:])[eligible, : task.steps]
    if not len(change) or np.isnan(change).all(axis=0).any():
        return None
    moved = _quietly(lambda values, axis: np.nanquantile(values, CHANGE_LEVELS, axis=axis), change, axis=0)

    def forecasts(windows: Windows) -> Forecasts:
        quantiles = windows.context[:, -1].astype(np.float64)[:, None, None] + moved[None]
        return Forecasts(windows, quantiles.astype(np.float32), CHANGE_LEVELS)

    test, validation = forecasts(splits.test), forecasts(splits.validation)
    scores = event_score(task, test, validation), event_score(task, validation, validation)
    return BaselineScore(scores[0], scores[1]) if scores[0] and scores[1] else None


def features(windows: Windows, low: bool) -> Array:
    """Last, mean, SD, slope per step, and the lowest value (of a high event the highest), of each context: [N, 5]."""
    context = windows.context.astype(np.float64)
    steps = np.arange(context.shape[1], dtype=np.float64)
    seen = ~np.isnan(context)
    mean = _quietly(np.nanmean, context)
    time = np.where(seen, steps, np.nan)
    centred = time - _quietly(np.nanmean, time)[:, None]
    spread = np.nansum(centred**2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(spread > 0, np.nansum(centred * (context - mean[:, None]), axis=1) / spread, 0.0)
    last = np.take_along_axis(context, (context.shape[1] - 1 - seen[:, ::-1].argmax(axis=1))[:, None], 1)[
        :, 0
    ]
    extreme = _quietly(np.nanmin if low else np.nanmax, context)
    return np.stack([last, mean, _quietly(np.nanstd, context), slope, extreme], axis=1)


def fit_logistic(
    task: EventTask, train: Windows, rows: NDArray[np.bool_], labels: Array, number: int | None = None
) -> Callable[[Windows], Array]:
    """Fit a logistic regression without a penalty on training windows; return what gives windows' probabilities.

    rows: which windows count; number: of the features that are used, all without it.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    low = task.condition.is_low
    model = make_pipeline(StandardScaler(), LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # Separable windows: probabilities of 0 and 1.
        model.fit(features(train, low)[rows, :number], labels[rows])
    return lambda windows: np.asarray(
        model.predict_proba(features(windows, low)[:, :number])[:, 1], np.float64
    )


def _quietly(of: Callable[..., Array], values: NDArray[np.floating], axis: int = 1) -> Array:
    """A statistic of rows that leaves NaN out, without a warning for rows of nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(of(values.astype(np.float64), axis=axis))
