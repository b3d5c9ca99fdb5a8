"""The two naive references: what a forecast is worth must be measured against no skill at all. NumPy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.models.registry import NAIVE_MODELS
from workflow_scripts.runtime.errors import UserError


def forecast_naive(
    name: str, context: NDArray[np.floating], horizon: int, levels: Sequence[float]
) -> NDArray[np.float32]:
    """Forecast every window by one constant: float32 [N, Q, horizon], natural units.

    context: [N, C], natural units, NaN = not observed. levels: [Q]. These are point forecasts: every quantile
    is the same value, so that the interval covers only truths that equal it, and the weighted quantile loss
    is that of a point. A context with nothing observed gives NaN, which scoring counts as a failure.
    Raises UserError for a name that is not in NAIVE_MODELS.
    """
    if name == "persistence":
        value = _last_observed(context)
    elif name == "mean-of-context":
        value = _mean_observed(context)
    else:
        raise UserError(
            where="naive reference",
            found=f"the name {name!r}",
            expected=f"one of {', '.join(NAIVE_MODELS)}",
            remedy="mend the list of references in params.yaml",
        )
    constant = value.astype(np.float32)[:, None, None]
    return np.broadcast_to(constant, (len(context), len(levels), horizon)).copy()


def _last_observed(context: NDArray[np.floating]) -> NDArray[np.floating]:
    steps_back = np.argmax(~np.isnan(context[:, ::-1]), axis=1)
    return context[np.arange(len(context)), context.shape[1] - 1 - steps_back]


def _mean_observed(context: NDArray[np.floating]) -> NDArray[np.float64]:
    observed = ~np.isnan(context)
    total = np.where(observed, context, 0.0).sum(axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return total / observed.sum(axis=1)
